# The one door. `make demo` needs a Rust toolchain and nothing else; `make test` installs what tests need.

CARGO ?= cargo
TOOLS := target/tools
SEED ?= 1

.PHONY: help demo test tools lab agree lint bench soak deb deny advisories clean

help: ## what can be done
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: ## a story told by the real daemon: drift, full cache, wrong certificate, and back
	$(CARGO) build --locked --bin cachewatch --example demo
	$(CARGO) run --locked --quiet --example demo

test: $(TOOLS)/deploy/ready $(TOOLS)/bin/cargo-deb ## install what tests need, then run them all
	.ci/install-test-needs
	.ci/in-a-fresh-folder $(CARGO) test --locked --workspace --no-fail-fast

lab: ## every cause, made real in a network of its own: does cachewatch name it?
	.ci/install-test-needs
	.ci/in-a-fresh-folder $(CARGO) test --locked --test lab

agree: ## the models of glibc and musl beside the libraries themselves, in 5,000 worlds drawn by chance
	.ci/install-test-needs
	.ci/in-a-fresh-folder $(CARGO) test --locked --test agree -- --worlds 5000 --seed $(SEED)

lint: deny ## format, clippy, licences and dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items

deny: $(TOOLS)/bin/cargo-deny ## licences, banned crates, sources
	PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" $(CARGO) deny --locked check bans licenses sources

advisories: $(TOOLS)/bin/cargo-deny ## security advisories, where their database can be reached
	PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" .ci/check-advisories

$(TOOLS)/bin/cargo-deny:
	$(CARGO) install --locked --quiet --root $(TOOLS) --version 0.20.2 cargo-deny

tools: $(TOOLS)/deploy/ready $(TOOLS)/bin/cargo-deb ## what the tests read and pack deploy/ with; `make test` installs it too

$(TOOLS)/deploy/ready: tests/deploy/install-tools tests/deploy/requirements.txt
	.ci/install-test-needs
	tests/deploy/install-tools $(TOOLS)/deploy

bench: ## what a probe, each further resolver and one more cache cost
	.ci/install-test-needs
	$(CARGO) bench --locked --bench probe

soak: ## ten minutes of restarts, drift and reloads, then 1,000 caches at 30 s on one core
	.ci/install-test-needs
	$(CARGO) test --locked --test soak
	$(CARGO) test --locked --profile bench --test soak -- --caches 1000 --interval 30
	$(CARGO) test --locked --profile bench --test soak -- --caches 1000 --resolvers 3 --interval 30

deb: $(TOOLS)/bin/cargo-deb ## the Debian package of the release, with manual pages and completions; says where it is
	@echo "2/3 the manual pages"
	$(CARGO) run --locked --example manual -- target/manual
	@echo "3/3 the release and its package"
	PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" $(CARGO) deb --locked

$(TOOLS)/bin/cargo-deb:
	@echo "1/3 cargo-deb, once"
	$(CARGO) install --locked --root $(TOOLS) --version 3.8.0 cargo-deb

clean: ## remove everything that was built
	$(CARGO) clean

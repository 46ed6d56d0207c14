//! A real Chromium, driven over its own protocol through two pipes: no driver, no port, no further program.

use std::{
    collections::HashMap,
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cachewatch::clock::Stopwatch;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::PATIENCE;

/// What Chromium is told: to draw nothing on a screen, and to ask nobody on its own account.
const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-crash-reporter",
    "--remote-debugging-pipe",
    "about:blank",
];

/// The browser. Dropping it ends all its processes; then its files are removed, which none of them writes any more.
#[derive(Debug)]
pub struct Browser {
    /// Leads a session of its own, in which all processes of the browser stay.
    child: Child,
    line: Arc<Line>,
    _profile: TempDir,
}

/// Both directions of what is said to a browser and by it.
#[derive(Debug)]
struct Line {
    to: Mutex<ChildStdin>,
    next: AtomicU64,
    heard: Mutex<Heard>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Heard {
    answers: HashMap<u64, Value>,
    events: Vec<Value>,
    has_ended: bool,
}

impl Browser {
    /// Starts it without a screen, and waits until its debugging port answers.
    #[track_caller]
    pub fn start() -> Self {
        let profile = TempDir::new().expect("a temporary directory");
        // The protocol is spoken over descriptors 3 and 4, which a shell can arrange.
        let mut child = Command::new("setsid")
            .args(["sh", "-c", "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "chromium"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(FLAGS)
            .env("HOME", profile.path())
            .env("TMPDIR", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("util-linux is installed");
        let to = Mutex::new(child.stdin.take().expect("stdin is piped"));
        let from = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let line = Arc::new(Line { to, next: AtomicU64::new(1), heard: Mutex::default(), more: Condvar::new() });
        let listener = Arc::clone(&line);
        thread::spawn(move || {
            for message in from.split(0).map_while(Result::ok) {
                listener.hear(&message);
            }
            listener.heard.lock().unwrap_or_else(PoisonError::into_inner).has_ended = true;
            listener.more.notify_all();
        });
        let browser = Self { child, line, _profile: profile };
        browser.line.call(None, "Browser.getVersion", &json!({}));
        browser
    }

    /// All its processes as they are now.
    pub fn processes(&self) -> Vec<u32> {
        session(self.child.id()).into_iter().map(|process| process.as_raw_nonzero().get().unsigned_abs()).collect()
    }

    /// An empty page with nothing remembered from any other.
    #[track_caller]
    pub fn page(&self, look: Look) -> Page<'_> {
        let line = Arc::clone(&self.line);
        let text = |value: &Value, field: &str| value[field].as_str().expect("the protocol says it").to_owned();
        let context = text(&line.call(None, "Target.createBrowserContext", &json!({})), "browserContextId");
        let permissions = json!({"permissions": ["clipboardReadWrite"], "browserContextId": context});
        line.call(None, "Browser.grantPermissions", &permissions);
        let target = json!({"url": "about:blank", "browserContextId": context});
        let target = text(&line.call(None, "Target.createTarget", &target), "targetId");
        let session = json!({"targetId": target, "flatten": true});
        let session = text(&line.call(None, "Target.attachToTarget", &session), "sessionId");
        let page = Page { line, session, _browser: self };
        for domain in ["Page", "Runtime", "Log", "Network", "Audits"] {
            page.call(&format!("{domain}.enable"), &json!({}));
        }
        page.call("Page.setLifecycleEventsEnabled", &json!({"enabled": true}));
        page.call("Emulation.setFocusEmulationEnabled", &json!({"enabled": true}));
        page.look(look);
        page
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let watch = Stopwatch::start();
        let _ = self.child.kill();
        let _ = self.child.wait();
        loop {
            let left = session(self.child.id());
            if left.is_empty() {
                break;
            }
            for process in &left {
                let _ = kill_process(*process, Signal::KILL);
            }
            if watch.elapsed() > PATIENCE {
                // A panic here would hide why a test failed.
                let _ = writeln!(io::stderr(), "chromium does not end: {left:?}");
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The processes of a session that have not ended.
fn session(leader: u32) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").expect("Linux has /proc").flatten();
    let number = |entry: &fs::DirEntry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw);
    let is_in_session = |process: &Pid| {
        // proc_pid_stat(5): the command, which may hold spaces, ends with a parenthesis; state and session are first and
        // fourth after it. One that has ended since is in none.
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let mut fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
        let state = fields.next();
        let runs = state.is_some_and(|state| !["", "Z", "X"].contains(&state));
        runs && fields.nth(2) == Some(&leader.to_string())
    };
    processes.filter_map(|entry| number(&entry)).filter(is_in_session).collect()
}

impl Line {
    fn hear(&self, message: &[u8]) {
        let Ok(message) = serde_json::from_slice::<Value>(message) else { return };
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        match message["id"].as_u64() {
            Some(id) => drop(heard.answers.insert(id, message)),
            None => heard.events.push(message),
        }
        self.more.notify_all();
    }

    #[track_caller]
    fn call(&self, session: Option<&str>, method: &str, parameters: &Value) -> Value {
        self.attempt(session, method, parameters).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// The result of a call, or the error that the browser answers with.
    #[track_caller]
    fn attempt(&self, session: Option<&str>, method: &str, parameters: &Value) -> Result<Value, Value> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut message = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        let sent = self.to.lock().unwrap_or_else(PoisonError::into_inner).write_all(&bytes);
        sent.unwrap_or_else(|error| panic!("chromium does not listen ({error}); is Debian's `chromium` installed?"));
        let mut answer = self.wait(method, |heard| heard.answers.remove(&id));
        match answer.get_mut("error") {
            Some(error) => Err(error.take()),
            None => Ok(answer["result"].take()),
        }
    }

    #[track_caller]
    fn wait<T>(&self, what: &str, mut pick: impl FnMut(&mut Heard) -> Option<T>) -> T {
        let watch = Stopwatch::start();
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(picked) = pick(&mut heard) {
                return picked;
            }
            let left = PATIENCE.checked_sub(watch.elapsed());
            let left = left.unwrap_or_else(|| panic!("chromium did not answer in time: {what}"));
            assert!(!heard.has_ended, "chromium has ended before {what}; is Debian's `chromium` installed?");
            heard = self.more.wait_timeout(heard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// How a page is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Of the window, in pixels.
    pub width: u32,
    /// Whether the page is asked for its dark colours.
    pub dark: bool,
    /// Whether scripts run.
    pub scripts: bool,
}

impl Look {
    /// A desk's screen, in light colours.
    pub const WIDE: Self = Self { width: 1440, dark: false, scripts: true };
}

/// What the browser says of an expression whose document has gone.
const LOST: [&str; 3] =
    ["Inspected target navigated or closed", "Execution context was destroyed", "Cannot find context"];

/// One of the documents that a page shows one after the other.
#[derive(Debug, Clone, Copy)]
struct Document {
    /// How many there were before it.
    number: usize,
    /// Whether all of it is loaded.
    is_whole: bool,
}

/// A tab.
#[derive(Debug)]
pub struct Page<'browser> {
    line: Arc<Line>,
    session: String,
    _browser: &'browser Browser,
}

impl Page<'_> {
    /// Calls a method of the `DevTools` protocol, and returns its result.
    #[track_caller]
    pub fn call(&self, method: &str, parameters: &Value) -> Value {
        self.line.call(Some(&self.session), method, parameters)
    }

    /// Makes the window as wide, dark and scripted as this.
    #[track_caller]
    pub fn look(&self, look: Look) {
        let metrics = json!({"width": look.width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
        let scheme = if look.dark { "dark" } else { "light" };
        self.media("", &[("prefers-color-scheme", scheme)]);
        self.call("Emulation.setScriptExecutionDisabled", &json!({"value": !look.scripts}));
    }

    /// Shows it as on this medium, to somebody who prefers this; the medium `""` is the screen.
    #[track_caller]
    pub fn media(&self, medium: &str, preferred: &[(&str, &str)]) {
        let features: Vec<_> = preferred.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        self.call("Emulation.setEmulatedMedia", &json!({"media": medium, "features": features}));
    }

    /// Goes there and waits until all of the document that comes of it is loaded.
    #[track_caller]
    pub fn open(&self, address: &str) {
        let answer = self.call("Page.navigate", &json!({"url": address}));
        assert!(answer.get("errorText").is_none(), "{address}: {answer}");
        let loader = answer["loaderId"].as_str().unwrap_or_else(|| panic!("{address}: no new document: {answer}"));
        self.line.wait(address, |heard| self.is_loaded(heard, loader).then_some(()));
    }

    /// Runs this before the scripts of each page that is opened from now on.
    #[track_caller]
    pub fn prepare(&self, script: &str) {
        self.call("Page.addScriptToEvaluateOnNewDocument", &json!({"source": script}));
    }

    /// What an expression comes to in the page, once its promise is kept. Where the page goes to another document
    /// meanwhile, it is asked of that one, as soon as all of it is loaded.
    #[track_caller]
    pub fn eval(&self, expression: &str) -> Value {
        let parameters =
            json!({"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true});
        loop {
            let document = self.document(&self.line.heard.lock().unwrap_or_else(PoisonError::into_inner));
            match self.line.attempt(Some(&self.session), "Runtime.evaluate", &parameters) {
                Ok(mut answer) => {
                    assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
                    return answer["result"]["value"].take();
                }
                Err(error) => {
                    let words = error["message"].as_str().unwrap_or_default();
                    assert!(LOST.iter().any(|lost| words.contains(lost)), "{expression}: {error}");
                    // Without another document, and with none under way, this fails.
                    self.line.wait(&format!("the next document, after {error} of {expression}"), |heard| {
                        let next = self.document(heard);
                        (next.is_whole && (next.number > document.number || !document.is_whole)).then_some(())
                    });
                }
            }
        }
    }

    /// The text of the first element that the selector finds.
    #[track_caller]
    pub fn text(&self, selector: &str) -> String {
        let text = self.eval(&format!("document.querySelector({selector:?})?.innerText ?? ''"));
        text.as_str().expect("text is text").to_owned()
    }

    /// Waits until all of the document is loaded and an expression is true in it.
    #[track_caller]
    pub fn wait_for(&self, expression: &str) {
        let watch = Stopwatch::start();
        while self.eval(&format!("document.readyState === 'complete' && Boolean({expression})")) != json!(true) {
            let body = || self.eval("document.body?.innerText ?? ''");
            assert!(watch.elapsed() < PATIENCE, "not in time: {expression}\n{}", body().as_str().unwrap_or_default());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses and releases a key: `Tab`, `Enter`, ` `, `/`, an arrow.
    #[track_caller]
    pub fn key(&self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            " " => (32, " "),
            "/" => (191, "/"),
            "ArrowRight" => (39, ""),
            _ => panic!("this key is not known here: {key}"),
        };
        let mut down = json!({"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": code});
        if !text.is_empty() {
            down["text"] = json!(text);
        }
        self.call("Input.dispatchKeyEvent", &down);
        let up = json!({"type": "keyUp", "key": key, "code": key, "windowsVirtualKeyCode": code});
        self.call("Input.dispatchKeyEvent", &up);
    }

    /// Types into what has the focus.
    #[track_caller]
    pub fn write(&self, text: &str) {
        self.call("Input.insertText", &json!({"text": text}));
    }

    /// Clicks in the middle of an element, as a hand would.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        let place = format!(
            "(() => {{ const element = document.querySelector({selector:?}); element.scrollIntoView({{block: 'center'}}); \
             const box = element.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        );
        let place = self.eval(&place);
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", &event);
        }
    }

    /// Everything the browser asked for, over the network or not.
    pub fn requests(&self) -> Vec<String> {
        let heard = self.line.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let addresses = self.events_of(&heard, "Network.requestWillBeSent");
        addresses.filter_map(|event| Some(event["request"]["url"].as_str()?.to_owned())).collect()
    }

    /// Everything a developer would see in red or yellow: exceptions, the console, what the browser refused to do.
    pub fn complaints(&self) -> Vec<String> {
        let heard = self.line.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let exceptions = self.events_of(&heard, "Runtime.exceptionThrown").map(ToString::to_string);
        let console = self.events_of(&heard, "Runtime.consoleAPICalled").map(ToString::to_string);
        let entries = self.events_of(&heard, "Log.entryAdded").map(|event| event["entry"].to_string());
        let issues = self.events_of(&heard, "Audits.issueAdded").map(ToString::to_string);
        exceptions.chain(console).chain(entries).chain(issues).collect()
    }

    /// A picture of the whole page.
    #[track_caller]
    pub fn picture(&self, file: &Path) {
        let size = self.eval("[innerWidth, Math.max(document.documentElement.scrollHeight, 600)]");
        let whole = json!({"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", &whole);
        let answer = self.call("Page.captureScreenshot", &json!({"format": "png"}));
        let bytes = STANDARD.decode(answer["data"].as_str().expect("a picture")).expect("base64");
        std::fs::write(file, bytes).expect("a picture can be written");
    }

    /// The document that is shown.
    fn document(&self, heard: &Heard) -> Document {
        let is_whole_page = |event: &&Value| event["frame"].get("parentId").is_none();
        let shown = self.events_of(heard, "Page.frameNavigated").filter(is_whole_page);
        let (number, last) = shown.fold((0, None), |(number, _), event| (number + 1, Some(event)));
        let loader = last.and_then(|event| event["frame"]["loaderId"].as_str());
        // Before any other there is the empty one, which is whole.
        Document { number, is_whole: loader.is_none_or(|loader| self.is_loaded(heard, loader)) }
    }

    /// Whether all of the document that came of this navigation is loaded, its scripts or none.
    fn is_loaded(&self, heard: &Heard, loader: &str) -> bool {
        self.events_of(heard, "Page.lifecycleEvent").any(|event| event["loaderId"] == loader && event["name"] == "load")
    }

    fn events_of<'a>(&'a self, heard: &'a Heard, method: &'a str) -> impl Iterator<Item = &'a Value> {
        let is_mine = move |event: &&Value| event["method"] == method && event["sessionId"] == self.session.as_str();
        heard.events.iter().filter(is_mine).map(|event| &event["params"])
    }
}

/// The checks of axe-core, which `.ci/install-test-needs` fetches.
#[track_caller]
pub fn axe() -> String {
    let file = crate::repository().join("tests/browser/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; run .ci/install-test-needs", file.display()))
}

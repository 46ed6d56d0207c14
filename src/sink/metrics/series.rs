//! Which series of a cache exist, and until when.
//!
//! A gauge that was not set this round holds what was true some round ago. A [`SeriesTracker`] is a mark-and-sweep over one
//! cache's series: what a round does not touch again is removed at its end, and everything is removed when the tracker
//! is dropped. So no code can leave a stale gauge or an orphan behind by forgetting to remove it.

use std::collections::BTreeMap;

use prometheus::core::{MetricVec, MetricVecBuilder};

use crate::model::{CacheName, ObservationKind};

/// A metric and all its series; the first label is `cache` where a [`SeriesTracker`] keeps them.
pub(super) struct Family<V> {
    name: &'static str,
    /// Which kind of observation shows what it tells; `None` where it does not tell what was seen at one time.
    of: Option<ObservationKind>,
    vector: V,
}

impl<V: Vector> Family<V> {
    pub(super) fn new(name: &'static str, of: Option<ObservationKind>, vector: V) -> Self {
        Self { name, of, vector }
    }

    /// The series of these label values, made where it does not exist. For metrics of the daemon, not of a cache.
    pub(super) fn series(&self, labels: &[&str]) -> V::Series {
        self.vector.series(labels)
    }

    /// Which series it is that has these values after that of the label `cache`.
    pub(super) fn key<'a, const N: usize>(&'a self, labels: [&'a str; N]) -> SeriesKey<'a, V, N> {
        SeriesKey { family: self, labels }
    }
}

/// A series of whichever cache: its family, and the values of its labels after that of the cache.
pub(super) struct SeriesKey<'a, V, const N: usize> {
    family: &'a Family<V>,
    labels: [&'a str; N],
}

impl<V, const N: usize> Clone for SeriesKey<'_, V, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V, const N: usize> Copy for SeriesKey<'_, V, N> {}

/// Gauges, counters or histograms of one name, told apart by labels.
pub(super) trait Vector: Removable + Clone + 'static {
    /// One of them.
    type Series;

    /// The one with these label values, made where it does not exist.
    fn series(&self, labels: &[&str]) -> Self::Series;
}

/// All that a sweep needs of a [`Vector`], whatever its type.
pub(super) trait Removable: Send + Sync {
    /// Removes the series with these label values, if there is one.
    fn remove(&self, labels: &[&str]);
}

impl<B: MetricVecBuilder + 'static> Vector for MetricVec<B> {
    type Series = B::M;

    fn series(&self, labels: &[&str]) -> B::M {
        self.with_label_values(labels)
    }
}

impl<B: MetricVecBuilder> Removable for MetricVec<B> {
    fn remove(&self, labels: &[&str]) {
        // The only error is that there is no such series, which is what is wanted.
        let _ = self.remove_label_values(labels);
    }
}

/// The series of one cache.
///
/// Invariant: every series with this cache's label was made here, so that dropping the tracker leaves none.
pub(super) struct SeriesTracker {
    cache: CacheName,
    round: u64,
    families: BTreeMap<&'static str, FamilySeries>,
}

/// The series of one cache in one family.
struct FamilySeries {
    of: Option<ObservationKind>,
    family: Box<dyn Removable>,
    series: Vec<TrackedSeries>,
}

struct TrackedSeries {
    /// Label values after the cache's.
    labels: Box<[Box<str>]>,
    until: Until,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The end of that round, unless it is touched again.
    Round(u64),
    /// The cache goes.
    CacheGoes,
}

impl SeriesTracker {
    pub(super) fn new(cache: CacheName) -> Self {
        Self { cache, round: 0, families: BTreeMap::new() }
    }

    /// A series that holds until the next observation of the kind that shows it: a gauge of what was seen.
    pub(super) fn transient<V: Vector, const N: usize>(&mut self, key: SeriesKey<'_, V, N>) -> V::Series {
        let SeriesKey { family, labels } = key;
        debug_assert!(family.of.is_some(), "{} is of no kind of observation, so nothing would sweep it", family.name);
        self.touch(family, &labels, Until::Round(self.round))
    }

    /// A series that stays for as long as the cache does: counters, histograms, and what is true whatever was seen.
    pub(super) fn persistent<V: Vector, const N: usize>(&mut self, key: SeriesKey<'_, V, N>) -> V::Series {
        self.touch(key.family, &key.labels, Until::CacheGoes)
    }

    /// Ends the round of an observation: what such a one shows, and it did not touch, goes.
    pub(super) fn sweep(&mut self, seen: ObservationKind) {
        let now = Until::Round(self.round);
        self.remove_where(|of, entry| {
            let is_shown = of.is_some_and(|of| seen.includes(of));
            is_shown && entry.until != Until::CacheGoes && entry.until != now
        });
        self.round += 1;
    }

    /// Removes every series that holds for a round only: the round is too long ago.
    pub(super) fn expire(&mut self) {
        self.remove_where(|_, entry| entry.until != Until::CacheGoes);
    }

    /// Removes the series of one family whose labels, without the cache's, are chosen.
    pub(super) fn forget<V: Vector>(&mut self, family: &Family<V>, chosen: impl Fn(&[Box<str>]) -> bool) {
        if let Some(of_family) = self.families.get_mut(family.name) {
            of_family.remove_where(&self.cache, |entry| chosen(&entry.labels));
        }
    }

    fn touch<V: Vector>(&mut self, family: &Family<V>, labels: &[&str], until: Until) -> V::Series {
        let of_family = self.families.entry(family.name).or_insert_with(|| FamilySeries {
            of: family.of,
            family: Box::new(family.vector.clone()),
            series: Vec::new(),
        });
        let known =
            of_family.series.iter_mut().find(|entry| entry.labels.iter().map(|l| &**l).eq(labels.iter().copied()));
        match known {
            Some(entry) => entry.until = until,
            None => {
                of_family
                    .series
                    .push(TrackedSeries { labels: labels.iter().map(|label| (*label).into()).collect(), until });
            }
        }
        family.vector.series(&with_cache(&self.cache, labels.iter().copied()))
    }

    fn remove_where(&mut self, chosen: impl Fn(Option<ObservationKind>, &TrackedSeries) -> bool) {
        for of_family in self.families.values_mut() {
            let of = of_family.of;
            of_family.remove_where(&self.cache, |entry| chosen(of, entry));
        }
    }
}

impl FamilySeries {
    fn remove_where(&mut self, cache: &CacheName, chosen: impl Fn(&TrackedSeries) -> bool) {
        self.series.retain(|entry| {
            let goes = chosen(entry);
            if goes {
                self.family.remove(&with_cache(cache, entry.labels.iter().map(|label| &**label)));
            }
            !goes
        });
    }
}

impl Drop for SeriesTracker {
    fn drop(&mut self) {
        self.remove_where(|_, _| true);
    }
}

/// Label values with the cache's name before them.
fn with_cache<'a>(cache: &'a CacheName, labels: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    std::iter::once(cache.as_str()).chain(labels).collect()
}

#[cfg(test)]
mod tests {
    use prometheus::{GaugeVec, IntCounterVec, Opts, Registry, TextEncoder};

    use super::*;

    fn lines(registry: &Registry) -> Vec<String> {
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    #[test]
    fn what_a_round_does_not_touch_goes_and_what_is_kept_stays_until_the_cache_goes() {
        let registry = Registry::new();
        let gauge = GaugeVec::new(Opts::new("g", "g"), &["cache", "who"]).unwrap();
        let counter = IntCounterVec::new(Opts::new("c_total", "c"), &["cache"]).unwrap();
        registry.register(Box::new(gauge.clone())).unwrap();
        registry.register(Box::new(counter.clone())).unwrap();
        let gauge = Family::new("g", Some(ObservationKind::Probe), gauge);
        let counter = Family::new("c_total", None, counter);

        let mut orders = SeriesTracker::new(CacheName::new("orders"));
        let mut other = SeriesTracker::new(CacheName::new("other"));
        other.transient(gauge.key(["a"])).set(9.0);
        for who in ["a", "b"] {
            orders.transient(gauge.key([who])).set(1.0);
        }
        orders.persistent(counter.key([])).inc();
        orders.sweep(ObservationKind::Probe);
        let both =
            [r#"g{cache="orders",who="a"} 1"#, r#"g{cache="orders",who="b"} 1"#, r#"g{cache="other",who="a"} 9"#];
        assert_eq!(lines(&registry), [&[r#"c_total{cache="orders"} 1"#], &both[..]].concat());

        orders.transient(gauge.key(["b"])).set(2.0);
        orders.sweep(ObservationKind::Probe);
        let expected =
            [r#"c_total{cache="orders"} 1"#, r#"g{cache="orders",who="b"} 2"#, r#"g{cache="other",who="a"} 9"#];
        assert_eq!(lines(&registry), expected);

        // A round that looked at something else leaves it, and the next one that looks at it does not.
        orders.sweep(ObservationKind::Lookup);
        assert_eq!(lines(&registry), expected);

        orders.forget(&gauge, |labels| *labels[0] == *"b");
        assert_eq!(lines(&registry), [r#"c_total{cache="orders"} 1"#, r#"g{cache="other",who="a"} 9"#]);

        drop(orders);
        assert_eq!(lines(&registry), [r#"g{cache="other",who="a"} 9"#]);
    }
}

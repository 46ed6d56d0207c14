//! When a service ends.

use super::Product;
use crate::model::Timestamp;

/// The first day on which caches of this product no longer serve, as Microsoft has announced it; `None` where no end is.
///
/// Source: Microsoft Learn, "Retirement FAQ" of Azure Cache for Redis (October 2025): Enterprise and Enterprise Flash are
/// retired on 2027-03-31 and disabled from 2027-04-01; Basic, Standard and Premium on 2028-09-30, disabled from 2028-10-01.
#[must_use]
pub fn retirement(product: Product) -> Option<Timestamp> {
    match product {
        // 2028-10-01T00:00:00Z
        Product::CacheForRedis => Some(Timestamp::from_unix_seconds(1_853_971_200)),
        // 2027-04-01T00:00:00Z
        Product::Enterprise => Some(Timestamp::from_unix_seconds(1_806_537_600)),
        Product::ManagedRedis | Product::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_days_are_those_of_the_announcement() {
        let day = |product| retirement(product).map(Timestamp::date);
        assert_eq!(day(Product::CacheForRedis).as_deref(), Some("2028-10-01"));
        assert_eq!(day(Product::Enterprise).as_deref(), Some("2027-04-01"));
        assert_eq!(day(Product::ManagedRedis), None);
    }
}

//! A tier tells how many clients may connect.

use super::Product;

/// A tier of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// The name, as the operator writes it: `P1`, `B10`.
    pub name: &'static str,
    /// Which service sells it.
    pub product: Product,
    /// The most clients that may be connected at once.
    pub max_clients: u64,
}

/// Client limits of Azure Cache for Redis, the same for Basic and Standard.
///
/// Source: Microsoft Learn, "Configure Azure Cache for Redis", section "Maxclients". The page states them for a lightly
/// loaded cache.
const CACHE_FOR_REDIS: &[(&str, u64)] = &[
    ("C0", 256),
    ("C1", 1_000),
    ("C2", 2_000),
    ("C3", 5_000),
    ("C4", 10_000),
    ("C5", 15_000),
    ("C6", 20_000),
    ("P1", 7_500),
    ("P2", 15_000),
    ("P3", 30_000),
    ("P4", 40_000),
    ("P5", 40_000),
];

/// Client limits of Azure Managed Redis.
///
/// Source: AzureManagedRedis/amr-migration-skill, `references/amr-sku-specs.md` (February 2026), kept by Microsoft. The
/// limits of Enterprise and Enterprise Flash have no public source and are left to `max_clients`.
const MANAGED_REDIS: &[(&[&str], u64)] = &[
    (&["M10", "B0", "B1", "B3", "B5"], 15_000),
    (&["M20", "B10", "X3", "X5"], 30_000),
    (&["M50", "B20", "X10", "A250"], 75_000),
    (&["M100", "B50", "X20", "A500"], 150_000),
    (
        &[
            "M150", "M250", "M350", "M500", "M700", "M1000", "M1500", "M2000", "B100", "B150", "B250", "B350", "B500",
            "B700", "B1000", "X50", "X100", "X150", "X250", "X350", "X500", "X700", "A700", "A1000", "A1500", "A2000",
            "A4500",
        ],
        200_000,
    ),
];

/// Every tier known here.
fn tiers() -> impl Iterator<Item = Tier> {
    let classic = CACHE_FOR_REDIS.iter().map(|(name, max_clients)| Tier {
        name,
        product: Product::CacheForRedis,
        max_clients: *max_clients,
    });
    let managed = MANAGED_REDIS.iter().flat_map(|(names, max_clients)| {
        names.iter().map(|name| Tier { name, product: Product::ManagedRedis, max_clients: *max_clients })
    });
    classic.chain(managed)
}

/// The tier of that name, in either case, also as the name of the SKU in a resource (`Balanced_B10`).
#[must_use]
pub fn tier(text: &str) -> Option<Tier> {
    let name = match text.split_once('_') {
        Some((family, name)) if sku_letter(family)? == name.chars().next()?.to_ascii_uppercase() => name,
        Some(_) => return None,
        None => text,
    };
    tiers().find(|tier| tier.name.eq_ignore_ascii_case(name))
}

/// The first letter of the tiers of a SKU family of Azure Managed Redis.
///
/// Source: azure-rest-api-specs, `redisenterprise` 2025-07-01, enum of `sku.name`.
fn sku_letter(family: &str) -> Option<char> {
    match family.to_ascii_lowercase().as_str() {
        "balanced" => Some('B'),
        "memoryoptimized" => Some('M'),
        "computeoptimized" => Some('X'),
        "flashoptimized" => Some('A'),
        _ => None,
    }
}

/// The known tiers most like `text`, the nearest first, at most three.
#[must_use]
pub fn nearest_tiers(text: &str) -> Vec<&'static str> {
    let wanted = text.trim().to_ascii_uppercase();
    let mut names: Vec<_> = tiers().map(|tier| (strsim::damerau_levenshtein(&wanted, tier.name), tier.name)).collect();
    names.sort_by_key(|(distance, name)| (*distance, name.len()));
    names.into_iter().take(3).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_is_known_by_its_name_and_by_its_sku() {
        assert_eq!(tier("p1").map(|tier| tier.max_clients), Some(7_500));
        assert_eq!(tier("Balanced_B10").map(|tier| tier.max_clients), Some(30_000));
        assert_eq!(tier("MemoryOptimized_M10").map(|tier| tier.max_clients), Some(15_000));
        for unknown in ["P9", "Balanced_M10", "E10", "", "_"] {
            assert_eq!(tier(unknown), None, "{unknown}");
        }
        assert_eq!(nearest_tiers("P6").len(), 3);
        assert!(nearest_tiers("PP1").contains(&"P1"));
    }

    #[test]
    fn no_tier_is_listed_twice() {
        let mut names: Vec<_> = tiers().map(|tier| tier.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}

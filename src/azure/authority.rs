//! Who signs the certificates of Azure's caches.

/// Words of which one is in the name of every authority that Azure's TLS certificates come from.
///
/// Source: Microsoft Learn, "Azure Certificate Authority details": the roots are DigiCert Global Root CA, G2 and G3,
/// Microsoft RSA and ECC Root Certificate Authority 2017 and, for old chains, Baltimore `CyberTrust` Root; the
/// intermediates, which change often, are named after Microsoft or DigiCert.
const AUTHORITIES: [&str; 3] = ["DigiCert", "Microsoft", "Baltimore CyberTrust"];

/// Whether an issuer, as its distinguished name, is one that Azure's certificates come from.
#[must_use]
pub fn is_azure_authority(issuer: &str) -> bool {
    AUTHORITIES.iter().any(|word| issuer.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn azure_authorities_are_known_by_their_names() {
        assert!(is_azure_authority("C=US, O=Microsoft Corporation, CN=Microsoft Azure RSA TLS Issuing CA 04"));
        assert!(is_azure_authority("C=US, O=DigiCert Inc, OU=www.digicert.com, CN=DigiCert Global Root G2"));
        assert!(!is_azure_authority("CN=Contoso Inspection CA"));
    }
}

//! How a proxy, a mesh or a cloud's front door shows that it hands on what another client asked for.

use axum::http::HeaderMap;

/// The headers that they add, in lower case, by family; `*` stands for the rest of a name, at its start or its end. No
/// client that asks for itself sends one of them, and a list of exact names would be as old as the newest proxy.
const FAMILIES: [&str; 72] = [
    // RFC 7239, RFC 9110, RFC 8586 and what they replace.
    "forwarded",
    "via",
    "cdn-loop",
    "x-forwarded*",
    "x-original-*",
    "x-real-ip",
    "x-real-port",
    "x-remote-*",
    "x-client-*",
    "x-cluster-*",
    "x-proxy*",
    "proxy-*",
    "client-ip",
    "*-client-ip",
    "*-connecting-ip",
    "x-host",
    "x-scheme",
    "x-ssl-*",
    // Envoy, and the meshes: Istio, Linkerd, Consul, Open Service Mesh.
    "x-envoy-*",
    "x-istio-*",
    "l5d-*",
    "x-consul-*",
    // Azure's Front Door, Application Gateway, App Service.
    "x-azure-*",
    "x-appgw-*",
    "x-arr-*",
    "x-ms-*",
    "x-fd-*",
    // Other clouds and networks of delivery.
    "x-amzn-*",
    "x-amz-*",
    "x-goog-*",
    "x-cloud-trace-context",
    "cf-*",
    "fastly-*",
    "akamai-*",
    "x-akamai-*",
    "x-varnish*",
    "x-kong-*",
    "x-nginx-*",
    // What proxies write so that a request can be followed.
    "x-b3-*",
    "b3",
    "traceparent",
    "tracestate",
    "x-request-id",
    "x-correlation-id",
    "x-trace-id",
    "*trace-id",
    "*trace-bin",
    "sentry-trace",
    "baggage",
    "request-id",
    "x-unique-id",
    "x-ot-*",
    // Further names for the same, by their ends; and what only a front door adds.
    "*clientip",
    "*-connection-ip",
    "*-forwarded-for",
    "*-real-ip",
    "*-source-ip",
    "*-via",
    "cloudfront-*",
    "fly-*",
    "x-vercel-*",
    "x-railway-*",
    "x-appengine-*",
    "ssl-client-*",
    "wl-proxy-*",
    "surrogate-capability",
    "max-forwards",
    "remote-user",
    "x-auth-request-*",
    "x-pomerium-*",
    "tailscale-*",
    "dapr-*",
];

/// The family of the first header by which a request shows that it was handed on.
pub(super) fn shown_by(headers: &HeaderMap) -> Option<&'static str> {
    headers.keys().find_map(|name| FAMILIES.into_iter().find(|family| is_of(name.as_str(), family)))
}

fn is_of(name: &str, family: &str) -> bool {
    match (family.strip_prefix('*'), family.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => name == family,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn shown(name: &str) -> Option<&'static str> {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        shown_by(&HeaderMap::from_iter([(name, HeaderValue::from_static("x"))]))
    }

    #[test]
    fn each_family_is_known_by_a_name_of_it() {
        for family in FAMILIES {
            assert_eq!(family, family.to_ascii_lowercase());
            let name = family.replace('*', "another");
            assert!(shown(&name).is_some() && shown(&name.to_ascii_uppercase()).is_some(), "{name}");
            assert_eq!(shown(&format!("not-{name}-x")), None, "{name}");
        }
    }

    #[test]
    fn the_headers_of_real_proxies_are_known() {
        for name in [
            "Forwarded",
            "Via",
            "X-Forwarded-For",
            "X-Forwarded-Client-Cert",
            "X-Original-Forwarded-For",
            "X-Original-Host",
            "X-Real-IP",
            "True-Client-IP",
            "Fastly-Client-IP",
            "X-Cluster-Client-IP",
            "X-Client-IP",
            "CF-Connecting-IP",
            "CF-Ray",
            "Do-Connecting-IP",
            "X-Envoy-External-Address",
            "X-Envoy-Attempt-Count",
            "l5d-client-id",
            "X-Azure-ClientIP",
            "X-AppGW-Trace-Id",
            "X-ARR-LOG-ID",
            "X-ARR-SSL",
            "X-Amzn-Trace-Id",
            "X-Amz-Cf-Id",
            "Akamai-Origin-Hop",
            "CDN-Loop",
            "X-B3-TraceId",
            "b3",
            "traceparent",
            "X-Request-Id",
            "X-Correlation-ID",
            "X-ProxyUser-Ip",
            "Proxy-Connection",
        ] {
            assert!(shown(name).is_some(), "{name}");
        }
        for name in ["Host", "User-Agent", "Accept", "Accept-Encoding", "Authorization", "Content-Length", "Connection"]
        {
            assert_eq!(shown(name), None, "{name}");
        }
    }
}

use std::net::ToSocketAddrs as _;

use proptest::prelude::*;

use super::*;

fn allowing(list: &[&str]) -> EndpointPolicy {
    EndpointPolicy { allow: list.iter().map(|text| text.parse().unwrap()).collect(), ..EndpointPolicy::default() }
}

#[test]
fn what_leads_inside_is_refused_in_every_spelling() {
    for host in [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "10.0.0.1",
        "172.31.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "169.254.1.1",
        "224.0.0.1",
        "255.255.255.255",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[::ffff:a00:1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2001::1]",
        "[fd00:ec2::254]",
        "[fd00::1]",
        "[fe80::1]",
        "[fec0::1]",
        "[ff02::1]",
    ] {
        assert!(EndpointPolicy::default().check_url(&format!("http://{host}:9")).is_err(), "{host}");
    }
    for host in ["8.8.8.8", "agents.example", "[2606:4700::1]", "[2002:808:808::]", "[64:ff9b::808:808]", "172.32.0.1"]
    {
        assert_eq!(EndpointPolicy::default().check_url(&format!("https://{host}")), Ok(()), "{host}");
    }
}

#[test]
fn what_is_allowed_is_no_more_than_was_said() {
    let policy = allowing(&["10.1.0.0/16", "fe80::7", "0.0.0.0/0"]);
    for host in ["10.1.2.3", "[::ffff:10.1.2.3]", "[fe80::7]", "127.0.0.1"] {
        assert_eq!(policy.check_url(&format!("http://{host}")), Ok(()), "{host}");
    }
    for host in ["169.254.169.254", "0.0.0.0", "224.0.0.1", "[fe80::8]", "[::1]"] {
        assert!(policy.check_url(&format!("http://{host}")).is_err(), "{host}");
    }
    let policy = allowing(&["a.example", "*.b.example"]);
    let inside = IpAddr::from([10, 0, 0, 1]);
    for (name, allowed) in [("a.example", true), ("x.b.example", true), ("b.example", false), ("xb.example", false)] {
        assert_eq!(policy.check_ip(&Host::Name(name.to_owned()), inside, false).is_ok(), allowed, "{name}");
    }
    for text in ["10.0.0.0/33", "::/129", "a b", "http://x", "*", "", "1.2.3", "h:80", "h/x"] {
        assert!(text.parse::<Allowed>().is_err(), "{text}");
    }
}

#[test]
fn trust_opens_loopback_and_private_networks_only() {
    let policy = EndpointPolicy::default();
    let open = |ip: [u8; 4]| policy.check_ip(&Host::Name("h".to_owned()), ip.into(), true).is_ok();
    assert!(open([127, 0, 0, 1]) && open([10, 0, 0, 1]));
    assert!(!open([169, 254, 169, 254]) && !open([169, 254, 0, 1]) && !open([0, 0, 0, 0]));
}

#[test]
fn secrets_are_for_those_who_may_have_them() {
    let secret: SecretRef = "env:TOKEN".parse().unwrap();
    let policy = EndpointPolicy::default();
    assert!(policy.check_secret(&secret, true).is_ok() && policy.check_secret(&secret, false).is_err());
    let policy = EndpointPolicy { secrets: vec![secret.clone()], ..policy };
    assert!(policy.check_secret(&secret, false).is_ok());
}

/// Hosts that somebody may write for an IPv4 address.
fn spelled() -> impl Strategy<Value = (u32, String)> {
    let ip = prop_oneof![
        any::<u32>(),
        any::<u32>().prop_map(|low| 0x7f00_0000 | (low & 0xff_ffff)),
        any::<u32>().prop_map(|low| 0x0a00_0000 | (low & 0xff_ffff)),
        any::<u32>().prop_map(|low| 0xa9fe_0000 | (low & 0xffff)),
        Just(0xa9fe_a9fe),
        Just(0),
    ];
    (ip, 0..11u8).prop_map(|(ip, form)| {
        let [a, b, c, d] = ip.to_be_bytes();
        let (high, low) = (ip >> 16, ip & 0xffff);
        let text = match form {
            0 => format!("{a}.{b}.{c}.{d}"),
            1 => ip.to_string(),
            2 => format!("{ip:#x}"),
            3 => format!("{a:#o}.{b:#x}.{c}.{d}").replace("0o", "0"),
            4 => format!("{a}.{}", ip & 0xff_ffff),
            5 => format!("{a}.{b}.{c}.{d}."),
            6 => format!("[::ffff:{a}.{b}.{c}.{d}]"),
            7 => format!("[::{high:x}:{low:x}]"),
            8 => format!("[64:ff9b::{high:x}:{low:x}]"),
            9 => format!("[2002:{high:x}:{low:x}::1]"),
            _ => format!("{a:03}.{b}.{c}.{d}"),
        };
        (ip, text)
    })
}

proptest! {
    #[test]
    fn no_spelling_of_an_address_gets_past_the_policy((ip, host) in spelled()) {
        let allowed = EndpointPolicy::default().check_url(&format!("http://{host}:80")).is_ok();
        let public = matches!(Class::of(Ipv4Addr::from(ip).into()), Class::Public);
        // `::0` and `::1` are addresses of their own and none of them is public.
        prop_assert!(!allowed || public, "{host}");
        if allowed {
            // What the system makes of it is what was checked.
            for address in (host.trim_matches(['[', ']']), 80).to_socket_addrs().unwrap() {
                prop_assert_eq!(Class::of(address.ip()), Class::Public);
            }
        }
    }

    #[test]
    fn no_text_is_accepted_that_names_an_address_inside(host in "[\\[\\]0-9a-fx.:%@\\\\/]{1,24}") {
        if EndpointPolicy::default().check_url(&format!("http://{host}")).is_ok() {
            let address = Address::parse(&format!("http://{host}"), None).unwrap();
            if let Host::Ip(ip) = address.host {
                prop_assert_eq!(Class::of(ip), Class::Public);
            }
        }
    }
}

//! The address that a connection comes from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use coalmine_envoy_tests::alive::decided;
use coalmine_envoy_tests::compile;
use coalmine_harness::raw::RawRequest;
use coalmine_harness::{Connection, Lab, Protocol, get, left_out};
use http_body_util::Empty;
use serde_json::json;
use tokio::net::TcpSocket;

use super::{document, drawn, only, rollout};

/// Who it is by the address alone.
fn by_address(weight: u32) -> String {
    document(&[rollout("address", json!({"sourceIp": true}), weight)])
}

async fn variant_from(lab: &Lab, source: IpAddr) -> Option<&'static str> {
    let socket = if source.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
    socket.bind(SocketAddr::new(source, 0)).unwrap();
    let socket = socket.connect(lab.address()).await.unwrap();
    let mut connection = Connection::over(socket, Protocol::Http1).await.unwrap();
    connection.send(get("address.test").body(Empty::new()).unwrap()).await.unwrap().variant()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_address_keeps_its_variant_whatever_its_port() {
    let policy = compile(&by_address(50)).unwrap();
    let lab = Lab::builder().unwrap().start(&by_address(50)).await.unwrap();
    for last in 1..=40 {
        let source = Ipv4Addr::new(127, 0, 0, last);
        let expected = drawn(&policy, "address", Some(source.to_string().as_bytes()));
        for _ in 0..2 {
            assert_eq!(variant_from(&lab, source.into()).await, Some(expected), "{source}");
        }
    }
    decided(&lab, 80).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_of_ipv6_is_without_brackets() {
    let loopback: IpAddr = "::1".parse().unwrap();
    if TcpSocket::new_v6().and_then(|socket| socket.bind(SocketAddr::new(loopback, 0))).is_err() {
        left_out("an_address_of_ipv6_is_without_brackets", "this machine has no ::1");
        return;
    }
    let address = "socket_address: {address: 127.0.0.1, port_value: 10000}";
    let ipv6 = "socket_address: {address: '::1', port_value: 10000}";
    let policy = document(&[only("address", json!({"sourceIp": true}), "::1")]);
    let lab = Lab::builder()
        .unwrap()
        .edit(|bootstrap| bootstrap.replace(address, ipv6))
        .unwrap()
        .start(&policy)
        .await
        .unwrap();
    assert_eq!(variant_from(&lab, loopback).await, Some("canary"));
    decided(&lab, 1).await.unwrap();
}

/// The trap of this source. Envoy's `source.address` is what `x-forwarded-for` says, unless the proxy is told to
/// believe the connection alone: so a client chooses its own address, and with it its variant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_believes_x_forwarded_for_lets_clients_choose() {
    let policy = document(&[only("address", json!({"sourceIp": true}), "203.0.113.7")]);
    let believing = Lab::builder().unwrap().start(&policy).await.unwrap();
    let anchor = "          http_filters:\n";
    let strict = format!("          use_remote_address: true\n{anchor}");
    let edge = Lab::builder()
        .unwrap()
        .edit(|bootstrap| bootstrap.replace(anchor, &strict))
        .unwrap()
        .start(&policy)
        .await
        .unwrap();
    let chosen = [
        ("203.0.113.7", "canary"),
        ("198.51.100.1, 203.0.113.7", "canary"),
        ("203.0.113.7, 198.51.100.1", "stable"),
        ("203.0.113.7:80", "stable"),
        ("nobody", "stable"),
        ("", "stable"),
        ("\u{ff}", "stable"),
        (&"1".repeat(20_000), "stable"),
    ];
    let mut wrong = Vec::new();
    for (value, expected) in chosen {
        let request = RawRequest::get("address.test", "/").header("x-forwarded-for", value);
        let found = request.clone().send(believing.address()).await.unwrap();
        if (found.status, found.body.trim_end()) != (200, expected) {
            wrong.push(format!("believing {value:.40?}: {found:?}"));
        }
        let found = request.send(edge.address()).await.unwrap();
        if (found.status, found.body.trim_end()) != (200, "stable") {
            wrong.push(format!("at the edge {value:.40?}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    decided(&believing, chosen.len()).await.unwrap();
    decided(&edge, chosen.len()).await.unwrap();
}

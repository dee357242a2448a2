//! gRPC and WebSocket: routed by the user when they open, unharmed while they last.

use coalmine_envoy_tests::{USER, compile, user};
use coalmine_harness::grpc::GrpcClient;
use coalmine_harness::{Lab, PolicyFile, Server, WebSocket};

use super::{HOST, drawn, those_of};

const EXAMPLE: &str = "envoy/streams";
const WEIGHT: &str = "\"weight\": 25";

struct Streams {
    lab: Lab,
    document: String,
    _servers: [Server; 2],
}

// === impl Streams ===

impl Streams {
    async fn start() -> Self {
        let document = PolicyFile::policy_of(EXAMPLE).unwrap();
        assert!(document.contains(WEIGHT));
        let servers = [Server::start("stable", 0).await.unwrap(), Server::start("canary", 0).await.unwrap()];
        let lab = Lab::example(EXAMPLE).unwrap().servers(servers[0].address(), servers[1].address());
        Self { lab: lab.start(&document).await.unwrap(), document, _servers: servers }
    }

    async fn grpc(&self, user: &str) -> GrpcClient {
        GrpcClient::open(self.lab.address(), HOST, (USER, user)).await.unwrap()
    }

    async fn web_socket(&self, user: &str) -> WebSocket {
        WebSocket::open(self.lab.address(), HOST, (USER, user)).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_of_every_kind() {
    let streams = Streams::start().await;
    let policy = compile(&streams.document).unwrap();
    for user in (0..20).map(user) {
        let variant = drawn(&policy, &user);
        let mut client = streams.grpc(&user).await;
        assert_eq!(client.unary("hello").await.unwrap(), format!("{variant}: hello"), "{user}");

        let counted = client.count(50).await.unwrap();
        let expected: Vec<String> = (0..50).map(|number| format!("{variant}: {number}")).collect();
        assert_eq!(counted.messages, expected, "{user}");
        assert_eq!(counted.code, tonic::Code::DataLoss, "the status in the trailers");
        assert_eq!(counted.served_by.as_deref(), Some(variant), "a trailer of the server's own");

        let mut chat = client.chat().await.unwrap();
        for number in 0..10 {
            assert_eq!(chat.say(&number.to_string()).await.unwrap(), format!("{variant}: {number}"));
        }
        assert!(chat.end().await.unwrap(), "the trailers of a stream that ended well");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_streams() {
    let streams = Streams::start().await;
    let policy = compile(&streams.document).unwrap();
    for variant in ["stable", "canary"] {
        let user = those_of(&policy, variant, 1).remove(0);
        let mut client = streams.grpc(&user).await;
        let counted = client.count(20_000).await.unwrap();
        assert_eq!(counted.messages.len(), 20_000);
        assert_eq!(counted.served_by.as_deref(), Some(variant));
        let large = "x".repeat(1 << 20);
        let mut chat = client.chat().await.unwrap();
        for _ in 0..3 {
            assert_eq!(chat.say(&large).await.unwrap().len(), variant.len() + 2 + large.len());
        }
        assert!(chat.end().await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn web_sockets() {
    let streams = Streams::start().await;
    let policy = compile(&streams.document).unwrap();
    for user in (0..40).map(user) {
        let variant = drawn(&policy, &user);
        let mut socket = streams.web_socket(&user).await;
        for number in 0..10 {
            assert_eq!(
                socket.say(&number.to_string()).await.unwrap(),
                format!("{variant}: {number}"),
                "{user}"
            );
        }
    }
}

/// Who is moved by a new policy moves with the next stream, never with one that is open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_stays_where_it_began() {
    for (variant, weight, other) in [("stable", 100, "canary"), ("canary", 0, "stable")] {
        let streams = Streams::start().await;
        let policy = compile(&streams.document).unwrap();
        let user = those_of(&policy, variant, 1).remove(0);
        let mut client = streams.grpc(&user).await;
        let mut chat = client.chat().await.unwrap();
        let mut socket = streams.web_socket(&user).await;
        for text in ["one", "two"] {
            assert_eq!(chat.say(text).await.unwrap(), format!("{variant}: {text}"));
            assert_eq!(socket.say(text).await.unwrap(), format!("{variant}: {text}"));
        }
        let next = streams.document.replace(WEIGHT, &format!("\"weight\": {weight}"));
        streams.lab.accept_policy(&next).await.unwrap();
        // On the very connection that the open stream is on.
        assert_eq!(client.unary("new").await.unwrap(), format!("{other}: new"));
        assert_eq!(streams.web_socket(&user).await.say("new").await.unwrap(), format!("{other}: new"));
        for number in 0..20 {
            assert_eq!(chat.say(&number.to_string()).await.unwrap(), format!("{variant}: {number}"));
            assert_eq!(socket.say(&number.to_string()).await.unwrap(), format!("{variant}: {number}"));
        }
        assert!(chat.end().await.unwrap(), "and it ends well");
    }
}

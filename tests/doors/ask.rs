//! Requests with and without credentials, and what they are answered.

use super::server::Running;
use armspan::auth::{Door, Route};
use std::time::Duration;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

/// What an answer says of the credentials.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    Unauthenticated,
    Forbidden,
    Entered,
}

/// One path of a route.
pub fn path(route: &Route) -> String {
    let part = |part: &str| if part.starts_with('{') { "x".to_owned() } else { part.to_owned() };
    route.path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// Asks a route with a value of `authorization`.
pub async fn entry(running: &Running, route: &Route, authorization: Option<&str>) -> Entry {
    match route.door {
        Door::Grpc => match grpc(&running.url("grpc"), &path(route), authorization).await {
            Code::Unauthenticated => Entry::Unauthenticated,
            Code::PermissionDenied => Entry::Forbidden,
            _ => Entry::Entered,
        },
        Door::Http => http(&running.url("http"), route, authorization).await,
        Door::Web => http(&running.url("web"), route, authorization).await,
    }
}

async fn http(base: &str, route: &Route, authorization: Option<&str>) -> Entry {
    let url = format!("{base}{}", path(route));
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let client = client.timeout(Duration::from_secs(10)).build().expect("client");
    let mut request = if route.post { client.post(url) } else { client.get(url) };
    if route.post {
        request = request.header("content-type", "application/json").body("{}");
    }
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    let answer = request.send().await.expect("answers");
    match answer.status().as_u16() {
        401 => {
            let ways: Vec<_> = answer.headers().get_all("www-authenticate").iter().collect();
            assert!(ways[0] == "Bearer" && ways[1].as_bytes().starts_with(b"Basic "), "{ways:?}");
            Entry::Unauthenticated
        }
        403 => Entry::Forbidden,
        _ => Entry::Entered,
    }
}

pub async fn channel(url: &str) -> Channel {
    let endpoint = Endpoint::from_shared(url.to_owned()).expect("URL");
    endpoint.timeout(Duration::from_secs(10)).connect().await.expect("connects")
}

/// The code that a method answers an empty message with.
pub async fn grpc(url: &str, method: &str, authorization: Option<&str>) -> Code {
    let mut client = Grpc::new(channel(url).await);
    client.ready().await.expect("ready");
    let mut request = Request::new(());
    if let Some(value) = authorization {
        request.metadata_mut().insert("authorization", value.parse().expect("a value"));
    }
    let path: PathAndQuery = method.parse().expect("a path");
    let codec = ProstCodec::<(), ()>::default();
    match client.server_streaming(request, path, codec).await {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    }
}

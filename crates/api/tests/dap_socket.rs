//! The editor's protocol over a WebSocket of the daemon: who gets in, and what ends it.

mod common;

use common::wire::{Server, TOKEN, bearer};
use freezeframe_api::{Access, Inspected};
use freezeframe_model::{Value, Variable};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value as Json, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

const PATH: &str = "/api/v1/incidents/INC-42/dap";

async fn start() -> Server {
    common::wire::start(Access::token(TOKEN, Vec::new()), str::to_owned).await
}

/// The socket of a path, or the status that is answered instead.
async fn open(
    server: &Server,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<WebSocketStream<TcpStream>, u16> {
    let mut request = format!("ws://{}{path}", server.address).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let stream = TcpStream::connect(server.address).await.unwrap();
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}

async fn editor(server: &Server) -> WebSocketStream<TcpStream> {
    open(server, PATH, &[("authorization", &bearer(TOKEN))]).await.expect("a socket")
}

/// The response to a request; events before it are passed over.
async fn ask(socket: &mut WebSocketStream<TcpStream>, command: &str, arguments: Json) -> Json {
    let request = json!({ "seq": 7, "type": "request", "command": command, "arguments": arguments });
    socket.send(Message::text(request.to_string())).await.unwrap();
    loop {
        let message = socket.next().await.expect("an answer").expect("a message");
        let message: Json = serde_json::from_str(message.to_text().unwrap()).expect("JSON");
        if message["type"] == "response" {
            return message;
        }
    }
}

#[tokio::test]
async fn a_session_over_the_daemon() {
    let server = start().await;
    let mut editor = editor(&server).await;
    assert_eq!(ask(&mut editor, "initialize", json!({})).await["success"], true);
    let other = ask(&mut editor, "attach", json!({ "incident": "INC-7" })).await;
    assert!(other["message"].as_str().is_some_and(|why| why.contains("INC-42 and no other")), "{other}");
    assert_eq!(ask(&mut editor, "attach", json!({})).await["success"], true);
    let threads = ask(&mut editor, "threads", json!({})).await;
    assert_eq!(threads["body"]["threads"][0]["id"], 4123);
    let value = Variable {
        name: "token".to_owned(),
        value: Value::Text("\"eyJ\"".to_owned()),
        ..Variable::default()
    };
    let inspected = Inspected { value, function: "f".to_owned(), is_live: true, note: None };
    *server.fake.inspected.lock().unwrap() = Ok(inspected);
    let typed = json!({ "expression": "reveal order.token because it is a test", "context": "repl" });
    assert_eq!(ask(&mut editor, "evaluate", typed).await["body"]["result"], "\"eyJ\"");
    let (who, question, reason) = server.fake.questions.lock().unwrap().pop().expect("asked");
    assert_eq!((who.as_str(), question.reveal, reason.as_str()), ("token", true, "it is a test"));
    assert_eq!(ask(&mut editor, "disconnect", json!({})).await["success"], true);
    while let Some(Ok(_)) = editor.next().await {}
    assert!(server.fake.acts.lock().unwrap().is_empty(), "nothing was done to the process");
}

#[tokio::test]
async fn strangers_and_other_sites_get_no_session() {
    let server = start().await;
    assert_eq!(open(&server, PATH, &[]).await.err(), Some(401));
    assert_eq!(open(&server, PATH, &[("authorization", "Bearer wrong")]).await.err(), Some(401));
    let bearer = bearer(TOKEN);
    let rebound = [("authorization", bearer.as_str()), ("host", "evil.example")];
    assert_eq!(open(&server, PATH, &rebound).await.err(), Some(421));
    let nowhere = open(&server, "/api/v1/incidents/x/dap", &[("authorization", &bearer)]).await;
    assert_eq!(nowhere.err(), Some(400));
}

#[tokio::test]
async fn it_ends_with_the_session_that_opened_it() {
    let server = start().await;
    let (host, origin) = (server.address.to_string(), format!("http://{}", server.address));
    let ours = [("Host", host.as_str()), ("Origin", origin.as_str()), ("Content-Type", "application/json")];
    let body = json!({ "token": TOKEN }).to_string();
    let session = server.send("POST", "/api/v1/login", &ours, &body).await.session();
    let headers = [("cookie", session.as_str()), ("origin", origin.as_str())];
    let mut editor = open(&server, PATH, &headers).await.expect("a socket");
    assert_eq!(ask(&mut editor, "initialize", json!({})).await["success"], true);
    let leaving = [&ours[..], &[("Cookie", session.as_str())]].concat();
    assert_eq!(server.send("POST", "/api/v1/logout", &leaving, "").await.status, 204);
    while let Some(Ok(message)) = editor.next().await {
        assert!(message.is_close(), "{message}");
    }
}

#[tokio::test]
async fn a_client_that_breaks_the_protocol_is_left() {
    let server = start().await;
    let long = "x".repeat(2 << 20);
    for message in [Message::binary(vec![1]), Message::text(long)] {
        let mut editor = editor(&server).await;
        let _ = editor.send(message).await;
        while let Some(Ok(message)) = editor.next().await {
            assert!(message.is_close(), "{message}");
        }
    }
    // Malformed text within a sound frame ends nothing.
    let mut editor = editor(&server).await;
    editor.send(Message::text("{")).await.unwrap();
    assert_eq!(ask(&mut editor, "initialize", json!({})).await["success"], true);
}

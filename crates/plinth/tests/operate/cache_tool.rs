//! The cache from the command line, where a scenario of the client does not reach: batches with conditions, deletes by version.

use plinth_testkit::process::{Server, ServerOptions};
use serde_json::Value;

use crate::tool::{Answer, binary, run};

#[tokio::test]
async fn batches_and_deletes_by_version_are_there_on_the_command_line() {
    let server = Server::start(binary(), &ServerOptions::default()).await;
    let server = server.expect("starts");
    let key = server.first_key().expect("a key");
    let thrift = format!("thrift://{}", server.announcement().thrift);
    for address in [server.announcement().http.as_str(), thrift.as_str()] {
        let cache = async |arguments: &[&str]| -> Answer {
            let all = [&["cache"], arguments, &["--output", "json"]].concat();
            run(&all, &[("PLINTH_SERVER", address), ("PLINTH_KEY", key)]).await
        };
        let stored = cache(&[
            "batch-set",
            "tool",
            r#"[{"key":"a","value":"1","ttl_ms":60000},{"key":"b","value_base64":"Mg=="}]"#,
        ]);
        let stored = stored.await;
        assert_eq!(stored.code, 0, "{}", stored.stderr);
        let found = cache(&["batch-get", "tool", "a", "b"]).await.json();
        assert_eq!(
            (&found[0]["value"], &found[1]["value"]),
            (&Value::from("1"), &Value::from("2"))
        );
        assert!(found[0]["ttl_ms"].is_i64(), "{found}");
        let version = found[0]["version"].as_str().expect("a version").to_owned();
        // One that does not hold undoes all, or is told alone.
        let items = r#"[{"key":"c","value":"3"},{"key":"a","value":"4","condition":"absent"}]"#;
        let refused = cache(&["batch-set", "tool", items]).await;
        assert_eq!(refused.code, 5, "{}", refused.stderr);
        assert!(
            refused.stderr.contains("items[1].condition"),
            "{}",
            refused.stderr
        );
        assert_eq!(cache(&["get", "tool", "c"]).await.code, 3);
        let partly = cache(&["batch-set", "tool", items, "--each-alone"]).await;
        assert_eq!(partly.code, 1, "{}", partly.stderr);
        assert_eq!(partly.json()[1]["code"], 1006);
        assert_eq!(cache(&["get", "tool", "c"]).await.code, 0);
        let items = cache(&["batch-set", "tool", r#"[{"key":"c","vale":"3"}]"#]).await;
        assert_eq!(items.code, 2, "{}", items.stderr);
        // Deletes.
        let other = cache(&["delete", "tool", "a", "--if-version", "1"]).await;
        assert_eq!(other.code, 5, "{}", other.stderr);
        let two = cache(&["delete", "tool", "a", "b", "--if-version", &version]).await;
        assert_eq!(two.code, 2, "{}", two.stderr);
        let deleted = cache(&["delete", "tool", "a", "--if-version", &version]).await;
        assert_eq!(deleted.code, 0, "{}", deleted.stderr);
        let gone = cache(&["delete", "tool", "a", "--if-version", &version]).await;
        assert_eq!(gone.code, 3, "{}", gone.stderr);
        assert_eq!(cache(&["clear", "tool"]).await.code, 0);
    }
}

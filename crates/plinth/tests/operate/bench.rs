//! `plinth bench` against a real server: it measures every workload over both transports, and leaves nothing behind that
//! can be removed.

use plinth_testkit::process::Server;

use crate::tool::{Answer, run, serve};

async fn ask(server: &Server, address: &str, arguments: &[&str]) -> Answer {
    let key = server.first_key().expect("the first key");
    let environment = [("PLINTH_KEY", key), ("PLINTH_SERVER", address)];
    run(arguments, &environment).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_workload_is_measured_over_both_transports() {
    let place = tempfile::tempdir().expect("a directory");
    let server = serve(&place.path().join("data"), &[]).await;
    let http = server.announcement().http.clone();
    let thrift = format!("thrift://{}", server.announcement().thrift);
    let all = [
        "cache-set",
        "cache-get",
        "publish",
        "consume",
        "lock",
        "audit",
        "metric",
    ];
    for address in [&http, &thrift] {
        let mut arguments = vec!["bench", "-n", "40", "-c", "4", "--output", "json"];
        arguments.extend(all);
        let answer = ask(&server, address, &arguments).await;
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        let rows = answer.json();
        let rows = rows.as_array().expect("a row for each");
        let names: Vec<_> = rows.iter().map(|row| row["workload"].as_str()).collect();
        assert_eq!(names, all.map(Some));
        for row in rows {
            assert_eq!(
                (&row["requests"], &row["errors"]),
                (&40.into(), &0.into()),
                "{row}"
            );
            let ms = ["p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms"];
            let ms: Vec<f64> = ms.iter().filter_map(|name| row[name].as_f64()).collect();
            assert!(ms.len() == 5 && ms[0] > 0.0 && ms.is_sorted(), "{row}");
        }
    }
    let queues = ask(&server, &http, &["queue", "list", "--output", "json"]).await;
    assert_eq!(queues.json()["queues"], serde_json::json!([]));
    let stats = ask(
        &server,
        &http,
        &["cache", "stats", "plinth-bench", "--output", "json"],
    )
    .await;
    assert_eq!(stats.json()["keys"], 0);
    server.stop().await.expect("ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_counted_named_and_fails_the_command() {
    let place = tempfile::tempdir().expect("a directory");
    let server = serve(&place.path().join("data"), &[]).await;
    let http = server.announcement().http.clone();
    // A message may have one mebibyte.
    let too_large = [
        "bench",
        "-n",
        "3",
        "--value-bytes",
        "1048577",
        "publish",
        "--output",
        "json",
    ];
    let answer = ask(&server, &http, &too_large).await;
    assert_eq!(answer.code, 1);
    assert!(answer.stderr.contains("message.body"), "{}", answer.stderr);
    assert_eq!(answer.json()[0]["errors"], 3);
    for wrong in [
        ["bench", "-n", "0"].as_slice(),
        &["bench", "-c", "1001"],
        &["bench", "cache-get", "cache-get"],
        &["bench", "cache-got"],
    ] {
        assert_eq!(ask(&server, &http, wrong).await.code, 2, "{wrong:?}");
    }
    server.stop().await.expect("ends well");
}

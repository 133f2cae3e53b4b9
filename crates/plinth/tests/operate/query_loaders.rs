//! Loaders of the cache whose query runs on a PostgreSQL or a MariaDB that is registered.

use plinth_client::{
    Client, ClientSettings, DbRegistration, DbStatement, LoaderSettings, NamespaceSettings,
};
use plinth_core::SecretString;
use plinth_testkit::scratch::on_each_product;

use crate::tool::serve;

/// The address without its password, and the password: a registration takes them apart.
fn registration(url: &str) -> DbRegistration {
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let (login, place) = rest.rsplit_once('@').expect("a user");
    let (user, secret) = match login.split_once(':') {
        Some((user, secret)) => (user, Some(SecretString::new(secret.to_owned()))),
        None => (login, None),
    };
    let engine = match scheme {
        "postgres" | "postgresql" => "postgres",
        _ => "mariadb",
    };
    DbRegistration {
        engine: engine.to_owned(),
        url: format!("{scheme}://{user}@{place}"),
        secret,
        ..DbRegistration::default()
    }
}

fn with(loader: LoaderSettings) -> NamespaceSettings {
    NamespaceSettings {
        default_ttl_ms: Some(600_000),
        negative_ttl_ms: Some(600_000),
        loader: Some(loader),
        ..NamespaceSettings::default()
    }
}

async fn run(client: &Client, sql: &str) {
    let statement = DbStatement::new(sql, Vec::new());
    let done = client.db().execute("shop", &statement).await;
    done.expect("runs");
}

async fn text(client: &Client, key: &str) -> String {
    let found = client.cache().get("statuses", key).await;
    let found = found.expect("loads").expect("a value");
    String::from_utf8(found.value.to_vec()).expect("text")
}

/// What is missing is loaded by the query and remembered; rows come as objects; what the server refuses has its code.
async fn loads_from(url: String) {
    let place = tempfile::tempdir().expect("a directory");
    let server = serve(place.path(), &[]).await;
    let key = server.first_key().expect("a first key").to_owned();
    let addresses = server.announcement();
    let settings = [
        ClientSettings::http(addresses.http.clone(), key.clone()),
        ClientSettings::thrift(addresses.thrift.clone(), key),
    ];
    let [client, thrift] = settings.map(|settings| Client::connect(settings).expect("a client"));
    let registered = client.db().register("shop", &registration(&url)).await;
    registered.expect("registers");
    run(
        &client,
        "create table applications (no varchar(20) primary key, status varchar(20), fee int)",
    )
    .await;
    run(
        &client,
        "insert into applications values ('A-1', 'approved', 120), ('A-2', 'rejected', 80)",
    )
    .await;

    let sql = "select status from applications where no = ?";
    let cache = client.cache();
    let loader = with(LoaderSettings::sql("shop", sql));
    let defined = cache.define_namespace("statuses", &loader, None).await;
    defined.expect("defines");
    assert_eq!(text(&thrift, "A-1").await, "approved");
    let none = thrift.cache().read("statuses", "A-9").await.expect("loads");
    assert!(none.known_absent);
    run(
        &client,
        "update applications set status = 'suspended' where no = 'A-1'",
    )
    .await;
    assert_eq!(text(&client, "A-1").await, "approved", "as it is kept");
    let loads = cache.refresh("statuses", &["A-1"]).await.expect("loads");
    assert_eq!(loads[0].state.as_deref(), Some("loaded"));
    assert_eq!(text(&thrift, "A-1").await, "suspended");

    let row = LoaderSettings {
        value: Some("row".to_owned()),
        ..LoaderSettings::sql("shop", "select no, fee from applications where no = ?")
    };
    let defined = cache.define_namespace("rows", &with(row), None).await;
    defined.expect("defines");
    let found = cache.get("rows", "A-2").await.expect("loads");
    let value: serde_json::Value =
        serde_json::from_slice(&found.expect("a row").value).expect("JSON");
    assert_eq!(value, serde_json::json!({ "no": "A-2", "fee": 80 }));

    run(&client, "drop table applications").await;
    let refused = cache.get("statuses", "A-2").await.expect_err("no table");
    assert_eq!(refused.code, 2008, "{refused}");
    assert_eq!(text(&client, "A-1").await, "suspended", "as it is kept");
    server.stop().await.expect("ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_on_postgres_and_mariadb_loads_what_is_missing() {
    on_each_product(loads_from).await.expect("databases");
}

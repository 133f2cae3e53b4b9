//! Namespaces with a loader: a query on a database of the scenario's own.

use anyhow::{Context as _, Result};
use futures::future::BoxFuture;
use plinth_client::{
    CacheClient, DbRegistration, DbStatement, DbValue, KeyLoad, LoaderSettings, NamespaceSettings,
};
use serde_json::{Value, json};

use super::super::{Log, Rig, Scenario, refused};

/// The scenarios of loaders.
pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "cache: what is missing is loaded by a query, and remembered",
            run: queried,
            expect: || {
                json!([
                    ["approved", "text/plain; charset=utf-8", true],
                    ["absent", true],
                    ["approved", null, null, null],
                    [true, false],
                    "approved",
                    [["A-1", 0, "loaded"], ["A-9", 0, "absent"]],
                    "rejected",
                    [["A-2", 0, "loaded"], ["A-1", 0, "present"]],
                    [["A-2", 0, "present"]],
                    [6, 0, true],
                    ["sql", null, "approved rejected"],
                ])
            },
        },
        Scenario {
            name: "cache: a row is loaded as an object, by the parts of its key",
            run: rows,
            expect: || {
                json!([
                    { "no": "A-1", "status": "approved", "fee": 120 },
                    "application/json",
                    refused(1001, "INVALID_ARGUMENT", &["key"]),
                    [2010, "absent"],
                    [0, 2010, true],
                ])
            },
        },
        Scenario {
            name: "cache: a loader that cannot work is refused where it is defined",
            run: refusals,
            expect: || {
                let later = |code, reason: &str, field: &str| refused(code, reason, &[field]);
                json!([
                    later(1001, "INVALID_ARGUMENT", "settings.default_ttl_ms"),
                    later(1001, "INVALID_ARGUMENT", "settings.loader.kind"),
                    later(1004, "NOT_FOUND", "settings.loader.database"),
                    later(1003, "FORBIDDEN", "settings.loader.sql"),
                    later(1001, "INVALID_ARGUMENT", "settings.loader.params"),
                    later(1001, "INVALID_ARGUMENT", "settings.loader.url"),
                    later(2011, "CACHE_LOAD_FORBIDDEN", "settings.loader.url"),
                    refused(1004, "NOT_FOUND", &[]),
                    refused(1004, "NOT_FOUND", &[]),
                    later(1001, "INVALID_ARGUMENT", "keys"),
                ])
            },
        },
    ]
}

/// A database with two applications.
async fn applications(rig: &Rig, name: &str) -> Result<String> {
    let (db, database) = (rig.client.db(), rig.name(name));
    let registration = DbRegistration {
        engine: "sqlite".to_owned(),
        url: format!("{database}.db"),
        ..DbRegistration::default()
    };
    db.register(&database, &registration).await?;
    for sql in [
        "create table applications (no text primary key, status text, fee int, city text)",
        "insert into applications values ('A-1', 'approved', 120, 'x'), ('A-2', 'rejected', 80, 'y')",
    ] {
        db.execute(&database, &DbStatement::new(sql, Vec::new()))
            .await?;
    }
    Ok(database)
}

fn with(loader: LoaderSettings) -> NamespaceSettings {
    NamespaceSettings {
        default_ttl_ms: Some(600_000),
        negative_ttl_ms: Some(600_000),
        loader: Some(loader),
        ..NamespaceSettings::default()
    }
}

async fn text(cache: CacheClient<'_>, space: &str, key: &str) -> Result<String> {
    let found = cache.get(space, key).await?.context("it is there")?;
    Ok(String::from_utf8_lossy(&found.value).into_owned())
}

fn told(loads: &[KeyLoad]) -> Vec<Value> {
    let one = |load: &KeyLoad| json!([load.key, load.code, load.state]);
    loads.iter().map(one).collect()
}

fn queried<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("loaded"));
        let database = applications(rig, "loads").await?;
        let sql = "select status from applications where no = ?";
        let mut settings = with(LoaderSettings::sql(&database, sql));
        cache.define_namespace(&space, &settings, None).await?;
        let found = cache.get(&space, "A-1").await?.context("it is loaded")?;
        log.note((
            String::from_utf8_lossy(&found.value),
            &found.content_type,
            found.ttl_ms.is_some_and(|ttl_ms| ttl_ms <= 600_000),
        ));
        let read = cache.read(&space, "A-9").await?;
        log.note(("absent", read.known_absent && read.value.is_none()));
        let stored = cache.without_loading();
        let reads = stored
            .batch_read(&space, &["A-1", "A-9", "A-2", "A-8"])
            .await?;
        let texts = reads.iter().map(|read| {
            let found = read.value.as_ref()?;
            Some(String::from_utf8_lossy(&found.value).into_owned())
        });
        log.note(texts.collect::<Vec<_>>());
        let exists = cache.exists(&space, &["A-1", "A-2"]).await?;
        log.note(exists);
        let change = DbStatement::new(
            "update applications set status = ? where no = ?",
            vec![DbValue::from("rejected"), DbValue::from("A-1")],
        );
        rig.client.db().execute(&database, &change).await?;
        log.note(text(cache, &space, "A-1").await?);
        log.note(told(&cache.refresh(&space, &["A-1", "A-9"]).await?));
        log.note(text(cache, &space, "A-1").await?);
        log.note(told(&cache.preload(&space, &["A-2", "A-1"]).await?));
        if let Some(loader) = &mut settings.loader {
            loader.warm_up = Some(vec!["A-2".to_owned()]);
        }
        cache.define_namespace(&space, &settings, None).await?;
        log.note(told(&cache.preload(&space, &[]).await?));
        cache.delete(&space, "A-1", None).await?;
        text(cache, &space, "A-1").await?;
        let stats = cache.stats(&space).await?;
        log.note((stats.loads, stats.load_errors, stats.load_us_max > 0));
        let loader = cache.get_namespace(&space).await?.settings.loader;
        let loader = loader.context("it has a loader")?;
        let reads = cache.batch_read(&space, &["A-1", "A-2"]).await?;
        let texts: Vec<String> = reads
            .into_iter()
            .filter_map(|read| read.value)
            .map(|found| String::from_utf8_lossy(&found.value).into_owned())
            .collect();
        // The first was changed above.
        let texts = texts.join(" ").replacen("rejected", "approved", 1);
        log.note((loader.kind, loader.secret, texts));
        Ok(())
    })
}

fn rows<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("rows"));
        let database = applications(rig, "rows-db").await?;
        let loader = LoaderSettings {
            params: Some(vec!["part:1".to_owned(), "part:0".to_owned()]),
            separator: Some("/".to_owned()),
            value: Some("row".to_owned()),
            ..LoaderSettings::sql(
                &database,
                "select no, status, fee from applications where no like ? and city = ?",
            )
        };
        cache.define_namespace(&space, &with(loader), None).await?;
        let found = cache.get(&space, "x/A-1").await?.context("it is loaded")?;
        log.note(serde_json::from_slice::<Value>(&found.value)?);
        log.note(found.content_type);
        log.outcome(cache.get(&space, "A-1").await, |_| "read");
        let wide = LoaderSettings::sql(&database, "select no from applications where no like ?");
        cache.define_namespace(&space, &with(wide), None).await?;
        let reads = cache.batch_read(&space, &["A-%", "B-%"]).await?;
        let code = reads.first().and_then(|read| read.failure.as_ref());
        let absent = reads.get(1).is_some_and(|read| read.known_absent);
        let word = if absent { "absent" } else { "found" };
        log.note((code.map(|failure| failure.code), word));
        let loads = cache.refresh(&space, &["A-1", "A-%"]).await?;
        let codes: Vec<u16> = loads.iter().map(|load| load.code).collect();
        let message = loads.last().and_then(|load| load.message.as_ref());
        log.note((codes.first(), codes.last(), message.is_some()));
        Ok(())
    })
}

fn refusals<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("refused"));
        let database = applications(rig, "refusals").await?;
        let sql = |sql: &str| with(LoaderSettings::sql(&database, sql));
        let http = |url: &str| with(LoaderSettings::http(url, "0123456789abcdef"));
        let without = NamespaceSettings {
            default_ttl_ms: None,
            ..sql("select ?")
        };
        let kind = LoaderSettings {
            kind: "file".to_owned(),
            ..LoaderSettings::default()
        };
        for settings in [
            without,
            with(kind),
            with(LoaderSettings::sql("nowhere", "select ?")),
            sql("delete from applications where no = ?"),
            sql("select status from applications where no = ? and city = ?"),
            http("ftp://example.com/load"),
            http("http://169.254.169.254/latest"),
        ] {
            let defined = cache.define_namespace(&space, &settings, None).await;
            log.outcome(defined, |_| "defined");
        }
        log.outcome(cache.refresh(&space, &["k"]).await, |_| "loaded");
        log.outcome(cache.preload(&space, &["k"]).await, |_| "loaded");
        let settings = sql("select status from applications where no = ?");
        cache.define_namespace(&space, &settings, None).await?;
        log.outcome(cache.preload(&space, &[]).await, |_| "loaded");
        Ok(())
    })
}

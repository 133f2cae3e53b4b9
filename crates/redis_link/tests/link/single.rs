//! One server: commands, pipelines, scripts, TLS, users, limits.

use plinth_redis_link::{Answer, Heard, Refusal};
use plinth_testkit::services::{
    REDIS_CA_VARIABLE, REDIS_TLS_VARIABLE, REDIS_VARIABLE, service_url,
};
use tokio::sync::mpsc;

use super::*;

#[tokio::test]
async fn many_callers_share_few_connections() {
    let Some(url) = service_url(REDIS_VARIABLE) else {
        return;
    };
    let link = link(&url);
    let name = unique("many");
    let mut callers = tokio::task::JoinSet::new();
    for index in 0..200 {
        let (link, key) = (Arc::clone(&link), format!("{name}:{index}"));
        callers.spawn(async move {
            run(&link, set(&key, "v")).await.expect("stores");
            let read = link.read_all(slot_of(b""), [get(&key).1, cmd("PING"), get("none").1]);
            let read = read.await.expect("reads");
            assert_eq!(
                read,
                [text("v"), Value::SimpleString("PONG".into()), Value::Nil]
            );
        });
    }
    callers.join_all().await;
    let numbers = link.numbers();
    assert_eq!(numbers.connections, 2);
    assert_eq!((numbers.commands_total, numbers.unknown_total), (400, 0));
    assert_eq!(numbers.latencies_total.iter().sum::<u64>(), 400);
    assert_eq!((numbers.in_flight, numbers.reconnects_total), (0, 0));
}

#[tokio::test]
async fn a_script_is_loaded_when_the_server_has_lost_it_and_learns_who_runs_it() {
    let Some(url) = service_url(REDIS_VARIABLE) else {
        return;
    };
    let (link, key) = (link(&url), unique("counted"));
    let slot = slot_of(key.as_bytes());
    let server = link.server(slot).await.expect("is there");
    for (more, sum) in [
        ("9007199254740993", "9007199254740993"),
        ("1", "9007199254740994"),
    ] {
        let answer = count(&link, &key, more).await;
        let mut answer = Answer::of(answer.expect("runs")).expect("is an array");
        assert_eq!(answer.text().expect("is text"), server.run_id);
        assert_eq!(answer.text().expect("is text"), sum, "no number of Lua");
        let mut flush = cmd("SCRIPT");
        flush.arg("FLUSH");
        link.run(slot, &flush).await.expect("forgets the scripts");
    }
    assert!(server.version >= (7, 0, 0));
}

#[tokio::test]
async fn tls_is_spoken_with_an_authority_that_is_trusted_and_with_no_other() {
    let (Some(url), Some(authority)) = (
        service_url(REDIS_TLS_VARIABLE),
        service_url(REDIS_CA_VARIABLE),
    ) else {
        return;
    };
    let trusting = RedisSettings {
        tls_ca: authority.into(),
        ..settings(&url)
    };
    let link = RedisLink::start(&trusting).expect("starts");
    let key = unique("tls");
    run(&link, set(&key, "v")).await.expect("stores");
    let other = plinth_testkit::papers::Papers::issue().expect("issues");
    let distrusting = RedisSettings {
        tls_ca: other.path("ca.pem"),
        ..settings(&url)
    };
    let link = RedisLink::start(&distrusting).expect("starts");
    let refused = run(&link, get(&key)).await.expect_err("is not trusted");
    assert!(
        matches!(refused, LinkError::NotConnected { .. }),
        "{refused}"
    );
    let missing = RedisSettings {
        tls_ca: "/nowhere".into(),
        ..trusting
    };
    let refused = RedisLink::start(&missing).err().expect("is refused");
    assert_eq!(refused.violations()[0].field, "redis.tls_ca");
}

#[tokio::test]
async fn a_wrong_password_is_told_and_a_user_may_only_what_it_may() {
    let Some(url) = service_url(REDIS_VARIABLE) else {
        return;
    };
    let (_, host) = url.rsplit_once('@').expect("has a host");
    let wrong = link(&format!("redis://plinth:wrong@{host}"));
    let refused = run(&wrong, get("k")).await.expect_err("is refused");
    assert!(refused.to_string().contains("WRONGPASS"), "{refused}");
    assert_eq!(refused.outcome(), Outcome::NotApplied);
    let health = wrong.health();
    assert_eq!((health.servers, health.reached), (1, 0));
    assert!(health.reason.is_some());

    let (all, user) = (link(&url), unique("reader").replace(':', "-"));
    let mut make = cmd("ACL");
    make.arg("SETUSER").arg(&user).arg("on").arg(">pw");
    make.arg("~own:*")
        .arg("-@all")
        .arg("+get")
        .arg("+info")
        .arg("+ping");
    make.arg("+hello").arg("+client").arg("+select");
    all.run(slot_of(b""), &make).await.expect("makes a user");
    let reader = link(&format!("redis://{user}:pw@{host}"));
    assert_eq!(run(&reader, get("own:x")).await.expect("reads"), Value::Nil);
    for command in [get("other"), set("own:x", "v")] {
        let refused = run(&reader, command).await.expect_err("is refused");
        let LinkError::Refused { refusal, .. } = refused else {
            panic!("{refused}");
        };
        assert_eq!(refusal, Refusal::NotAllowed);
    }
}

#[tokio::test]
async fn callers_past_the_limit_wait_and_those_who_wait_too_long_are_refused() {
    let Some(url) = service_url(REDIS_VARIABLE) else {
        return;
    };
    let narrow = RedisSettings {
        in_flight_max: 1,
        command_timeout_ms: 1_500,
        ..settings(&url)
    };
    let link = RedisLink::start(&narrow).expect("starts");
    let list = unique("list");
    let slot = slot_of(list.as_bytes());
    link.server(slot).await.expect("is there");
    let mut long = cmd("BLPOP");
    long.arg(&list).arg(0.3);
    let (first, second) = tokio::join!(link.run(slot, &long), run(&link, get("k")));
    assert_eq!(first.expect("answers"), Value::Nil);
    assert_eq!(second.expect("waits for its place"), Value::Nil);
    assert!(
        link.numbers().queue_us_total > 100_000,
        "{:?}",
        link.numbers()
    );
    let mut longer = cmd("BLPOP");
    longer.arg(&list).arg(5);
    let (first, second) = tokio::join!(link.run(slot, &longer), run(&link, get("k")));
    assert!(matches!(
        first,
        Err(LinkError::TimedOut { after_ms: 1_500 })
    ));
    let refused = second.expect_err("found no place");
    assert!(
        matches!(refused, LinkError::Overloaded { in_flight_max: 1 }),
        "{refused}"
    );
    assert_eq!(refused.outcome(), Outcome::NotApplied);
}

#[tokio::test]
async fn a_listener_hears_messages_on_a_connection_of_its_own() {
    let Some(url) = service_url(REDIS_VARIABLE) else {
        return;
    };
    let (link, channel) = (link(&url), unique("channel"));
    let (tell, mut heard) = mpsc::channel(64);
    let mut subscribe = cmd("SUBSCRIBE");
    subscribe.arg(&channel);
    let listener = link.listen(vec![subscribe], move |what| {
        let _closed_at_the_end = tell.try_send(what);
    });
    let mut up = false;
    while !up {
        up = matches!(heard.recv().await, Some(Heard::Up(_)));
    }
    let mut publish = cmd("PUBLISH");
    publish.arg(&channel).arg("hello");
    link.run(slot_of(b""), &publish).await.expect("publishes");
    loop {
        match heard.recv().await.expect("goes on") {
            Heard::Push { data, .. } if data.last() == Some(&text("hello")) => break,
            _ => {}
        }
    }
    drop(listener);
    loop {
        if matches!(heard.recv().await.expect("says so"), Heard::Down(_)) {
            return;
        }
    }
}

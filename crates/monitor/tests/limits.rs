//! Refusals of the service: each limit at its value and one past it, each with its code and its field.

mod support;

use plinth_monitor::limits;
use plinth_monitor::{
    GetMetricsRequest, IncrementCounterRequest, ListMetricsRequest, MetricSpec, MonitorSettings,
    RecordBatchRequest, RegisterMetricRequest, Sample, SeriesBackend as _,
};
use support::{
    Rig, START_MS, aggregate, batch, context, context_of, gauge, increment, keyed, only_value, raw,
    refusal, register, sample, spec,
};

async fn rig() -> Rig {
    Rig::in_memory(MonitorSettings::default()).await
}

async fn record(rig: &Rig, sample: Sample) -> Result<f64, (u16, String)> {
    match rig.service.record_metric(&context(), sample).await {
        Ok(reply) => Ok(reply.recorded.value),
        Err(error) => Err(refusal(error)),
    }
}

#[tokio::test]
async fn samples_are_taken_from_the_retention_to_ten_minutes_ahead() {
    let rig = rig().await;
    let oldest = START_MS - MonitorSettings::default().retention_ms + 1;
    let newest = START_MS + limits::FUTURE_MS_MAX;
    for at_ms in [oldest, newest] {
        assert_eq!(record(&rig, gauge("g", &[], 1.0, at_ms)).await, Ok(1.0));
    }
    for at_ms in [oldest - 1, newest + 1, i64::MIN, i64::MAX] {
        assert_eq!(
            record(&rig, gauge("g", &[], 1.0, at_ms)).await,
            Err((2204, "timestamp_ms".to_owned()))
        );
    }
    rig.service.close().await;
}

#[tokio::test]
async fn a_metric_takes_only_what_fits_its_type_and_its_labels() {
    let rig = rig().await;
    let labelled = MetricSpec {
        label_names: Some(vec!["status".to_owned()]),
        ..spec("counter")
    };
    register(&rig, "c", labelled).await;
    let total = |value: f64| Sample {
        value: Some(value),
        ..sample("c", &[("status", "x")])
    };
    assert_eq!(record(&rig, total(5.0)).await, Ok(5.0));
    assert_eq!(
        record(&rig, increment("c", &[("status", "x")], 2.0)).await,
        Ok(7.0)
    );
    // Fewer labels are another series, other ones are refused.
    assert_eq!(record(&rig, increment("c", &[], 2.0)).await, Ok(2.0));
    assert_eq!(
        record(&rig, increment("c", &[("city", "x")], 2.0)).await,
        Err((1001, "labels.city".to_owned()))
    );
    assert_eq!(
        record(&rig, total(-1.0)).await,
        Err((1001, "value".to_owned()))
    );
    let observed = Sample {
        observations: Some(vec![1.0]),
        ..sample("c", &[])
    };
    assert_eq!(record(&rig, observed).await, Err((1005, String::new())));
    let as_gauge = Sample {
        metric_type: Some("gauge".to_owned()),
        ..total(1.0)
    };
    assert_eq!(record(&rig, as_gauge).await, Err((1005, String::new())));
    rig.service.close().await;
}

#[tokio::test]
async fn registering_again_changes_what_may_change_and_names_what_may_not() {
    let rig = rig().await;
    let base = MetricSpec {
        unit: Some("seconds".to_owned()),
        label_names: Some(vec!["a".to_owned(), "b".to_owned()]),
        buckets: Some(vec![1.0, 2.0]),
        ..spec("histogram")
    };
    register(&rig, "h", base.clone()).await;
    let again = |spec: MetricSpec| {
        let request = RegisterMetricRequest {
            metric: "h".to_owned(),
            spec,
        };
        rig.service.register_metric(context_static(), request)
    };
    let same = MetricSpec {
        label_names: Some(vec!["b".to_owned(), "a".to_owned()]),
        help: Some("how long".to_owned()),
        ttl_ms: Some(5_000),
        max_series: Some(7),
        ..base.clone()
    };
    let reply = again(same).await.expect("may change");
    assert!(!reply.created);
    assert_eq!(
        (reply.info.help.as_str(), reply.info.max_series),
        ("how long", 7)
    );
    let conflicts = [
        (
            MetricSpec {
                buckets: None,
                ..spec("counter")
            },
            "metric_type",
        ),
        (
            MetricSpec {
                unit: None,
                ..base.clone()
            },
            "unit",
        ),
        (
            MetricSpec {
                label_names: None,
                ..base.clone()
            },
            "label_names",
        ),
        (
            MetricSpec {
                buckets: Some(vec![1.0]),
                ..base
            },
            "buckets",
        ),
    ];
    for (conflicting, named) in conflicts {
        let error = again(conflicting).await.expect_err("conflicts");
        assert!(error.to_string().contains(named), "{error}");
        assert_eq!(refusal(error).0, 1005);
    }
    rig.service.close().await;
}

/// A context that lives as long as the test program, for futures that borrow it.
fn context_static() -> &'static plinth_core::CallContext {
    static CONTEXT: std::sync::OnceLock<plinth_core::CallContext> = std::sync::OnceLock::new();
    CONTEXT.get_or_init(context)
}

#[tokio::test]
async fn a_first_sample_registers_its_name_which_may_then_be_described() {
    let rig = rig().await;
    record(&rig, increment("c", &[("a", "x")], 1.0))
        .await
        .expect("records");
    let request = |names: &[&str]| RegisterMetricRequest {
        metric: "c".to_owned(),
        spec: MetricSpec {
            unit: Some("orders".to_owned()),
            label_names: Some(names.iter().map(|name| (*name).to_owned()).collect()),
            ..spec("counter")
        },
    };
    let refused = rig
        .service
        .register_metric(&context(), request(&["b"]))
        .await;
    assert_eq!(refusal(refused.expect_err("has the label a")).0, 1005);
    let described = rig
        .service
        .register_metric(&context(), request(&["a"]))
        .await;
    let info = described.expect("fits").info;
    assert!(!info.auto_registered);
    assert_eq!((info.series, info.last_write_ms), (1, Some(START_MS)));
    rig.service.close().await;
}

#[tokio::test]
async fn unknown_names_are_refused_where_the_setting_says_so() {
    let rig = Rig::in_memory(MonitorSettings {
        auto_register: false,
        ..MonitorSettings::default()
    })
    .await;
    assert_eq!(
        record(&rig, increment("c", &[], 1.0)).await,
        Err((1004, String::new()))
    );
    register(&rig, "c", spec("counter")).await;
    assert_eq!(record(&rig, increment("c", &[], 1.0)).await, Ok(1.0));
    let unknown = rig.service.get_metrics(&context(), raw("d")).await;
    assert_eq!(refusal(unknown.expect_err("unknown")).0, 1004);
    rig.service.close().await;
}

#[tokio::test]
async fn names_that_collide_in_the_exposition_are_refused() {
    let rig = rig().await;
    register(&rig, "h", spec("histogram")).await;
    register(&rig, "x_count", spec("counter")).await;
    for (name, metric_type) in [
        ("h_sum", "gauge"),
        ("h_bucket", "counter"),
        ("x", "histogram"),
    ] {
        let request = RegisterMetricRequest {
            metric: name.to_owned(),
            spec: spec(metric_type),
        };
        let refused = rig.service.register_metric(&context(), request).await;
        assert_eq!(refusal(refused.expect_err(name)).0, 1005, "{name}");
    }
    rig.service.close().await;
}

#[tokio::test]
async fn a_batch_is_checked_whole_before_its_first_sample_is_written() {
    let rig = rig().await;
    let good = gauge("g", &[], 1.0, START_MS);
    let bad = gauge("bad-name", &[], 1.0, START_MS);
    let samples = vec![good.clone(), bad.clone(), good.clone()];
    let refused = rig
        .service
        .record_batch(&context(), batch(samples.clone()))
        .await;
    assert_eq!(
        refusal(refused.expect_err("holds a bad one")),
        (1001, "samples[1].metric".to_owned())
    );
    // Not even the name of the first sample was registered.
    let listed = rig
        .service
        .list_metrics(&context(), ListMetricsRequest::default())
        .await;
    assert!(listed.expect("lists").metrics.is_empty());
    let per_item = RecordBatchRequest {
        samples,
        mode: Some("per_item".to_owned()),
    };
    let first = rig
        .service
        .record_batch(&keyed("b"), per_item.clone())
        .await;
    let first = first.expect("records the good ones");
    assert_eq!((first.accepted, first.rejected.len()), (2, 1));
    assert_eq!((first.rejected[0].index, first.rejected[0].code), (1, 1001));
    let again = rig.service.record_batch(&keyed("b"), per_item).await;
    assert_eq!(again.expect("repeats"), first);
    let many = |count: usize| batch(vec![good.clone(); count]);
    assert!(
        rig.service
            .record_batch(&context(), many(limits::BATCH_SAMPLES_MAX))
            .await
            .is_ok()
    );
    let refused = rig
        .service
        .record_batch(&context(), many(limits::BATCH_SAMPLES_MAX + 1))
        .await;
    assert_eq!(
        refusal(refused.expect_err("too many")),
        (1007, "samples".to_owned())
    );
    rig.service.close().await;
}

#[tokio::test]
async fn one_key_counts_once_and_another_request_under_it_is_a_conflict() {
    let mut rig = Rig::on_file(MonitorSettings::default()).await;
    let request = |delta: f64| IncrementCounterRequest {
        metric: "c".to_owned(),
        delta: Some(delta),
        ..IncrementCounterRequest::default()
    };
    for _ in 0..3 {
        let reply = rig
            .service
            .increment_counter(&keyed("k"), request(2.0))
            .await;
        assert_eq!(reply.expect("counts").total, 2.0);
        rig.restart().await;
    }
    let other = rig
        .service
        .increment_counter(&keyed("k"), request(3.0))
        .await;
    assert_eq!(refusal(other.expect_err("another request")).0, 1005);
    // Another tenant's key of the same name is another key.
    let elsewhere = context_of("other", Some("k"));
    let reply = rig
        .service
        .increment_counter(&elsewhere, request(9.0))
        .await;
    assert_eq!(reply.expect("counts").total, 9.0);
    let total = rig
        .service
        .get_metrics(&context(), aggregate("c", "sum"))
        .await;
    assert_eq!(only_value(&total.expect("answers")), 2.0);
    rig.service.close().await;
}

#[tokio::test]
async fn increments_of_many_callers_add_up() {
    let rig = std::sync::Arc::new(Rig::on_file(MonitorSettings::default()).await);
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let rig = std::sync::Arc::clone(&rig);
            tokio::spawn(async move {
                for _ in 0..25 {
                    let add = increment("c", &[("a", "x")], 1.0);
                    rig.service
                        .record_metric(&context(), add)
                        .await
                        .expect("adds");
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("ends");
    }
    let total = rig
        .service
        .get_metrics(&context(), aggregate("c", "last"))
        .await;
    assert_eq!(only_value(&total.expect("answers")), 400.0);
    let increase = rig
        .service
        .get_metrics(&context(), aggregate("c", "increase"))
        .await;
    assert_eq!(only_value(&increase.expect("answers")), 400.0);
    rig.service.close().await;
}

#[tokio::test]
async fn replies_stop_at_the_limit_of_points() {
    let rig = rig().await;
    let stepped = |series: usize, instants: i64| GetMetricsRequest {
        start_ms: Some(START_MS - (instants - 1) * 10),
        step_ms: Some(10),
        window_ms: Some(1_000_000),
        by: vec!["s".to_owned()],
        metric: format!("g{series}"),
        ..aggregate("g", "max")
    };
    for series in [10, 11] {
        for index in 0..series {
            let at_ms = START_MS - 500_000;
            let set = gauge(
                &format!("g{series}"),
                &[("s", &index.to_string())],
                1.0,
                at_ms,
            );
            record(&rig, set).await.expect("records");
        }
    }
    let within = rig
        .service
        .get_metrics(&context(), stepped(10, 10_000))
        .await;
    assert_eq!(within.expect("at the limit").series.len(), 10);
    let past = rig
        .service
        .get_metrics(&context(), stepped(11, 10_000))
        .await;
    assert_eq!(refusal(past.expect_err("past it")).0, 1007);
    rig.service.close().await;
}

#[tokio::test]
async fn listings_page_by_name_and_prefix() {
    let rig = rig().await;
    for name in ["a_1", "a_2", "a_3", "b_1"] {
        register(&rig, name, spec("gauge")).await;
    }
    let mut cursor = None;
    let mut pages = Vec::new();
    loop {
        let request = ListMetricsRequest {
            prefix: Some("a_".to_owned()),
            limit: Some(2),
            cursor,
        };
        let reply = rig
            .service
            .list_metrics(&context(), request)
            .await
            .expect("lists");
        let names: Vec<_> = reply
            .metrics
            .iter()
            .map(|info| info.metric.clone())
            .collect();
        pages.push(names);
        cursor = reply.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(pages, [vec!["a_1", "a_2"], vec!["a_3"]]);
    rig.service.close().await;
}

#[tokio::test]
async fn labels_are_bounded_in_bytes_for_a_tenant_and_for_all() {
    // A label `a` with a value of nine bytes takes ten.
    let settings = MonitorSettings {
        label_bytes_per_tenant_max: 20,
        label_bytes_max: 30,
        ..MonitorSettings::default()
    };
    let mut rig = Rig::on_file(settings).await;
    let short_lived = MetricSpec {
        ttl_ms: Some(1_000),
        ..spec("gauge")
    };
    register(&rig, "short", short_lived).await;
    let set = |metric: &str, value: &str| gauge(metric, &[("a", value)], 1.0, START_MS);
    assert_eq!(record(&rig, set("short", "of-nine-1")).await, Ok(1.0));
    assert_eq!(record(&rig, set("g", "of-nine-2")).await, Ok(1.0));
    // What is there goes on; one more does not fit, whatever its metric, also after a restart.
    for _ in 0..2 {
        assert_eq!(record(&rig, set("g", "of-nine-2")).await, Ok(1.0));
        assert_eq!(
            record(&rig, set("g", "b")).await,
            Err((2203, String::new()))
        );
        rig.restart().await;
    }
    let refused = rig.service.record_metric(&context(), set("g", "b")).await;
    let text = refused.expect_err("does not fit").to_string();
    assert!(
        text.starts_with("the tenant may hold 20 bytes of labels"),
        "{text}"
    );
    // A batch is judged with what it adds itself.
    let other = context_of("other", None);
    let two = batch(vec![set("g", "of-nine-1"), set("g", "b")]);
    let refused = rig.service.record_batch(&other, two).await;
    let error = refused.expect_err("the instance has room for one");
    assert!(
        error.to_string().contains("the instance may hold 30"),
        "{error}"
    );
    assert_eq!(refusal(error), (2203, "samples[1]".to_owned()));
    let one = batch(vec![set("g", "of-nine-1")]);
    let recorded = rig.service.record_batch(&other, one).await;
    assert_eq!(recorded.expect("fits").accepted, 1);
    // A series that has ended gives its bytes back.
    let report = rig.backend.upkeep(START_MS + 1_000).await.expect("upkeep");
    assert_eq!(report.series_removed, 1);
    assert_eq!(record(&rig, set("g", "of-nine-3")).await, Ok(1.0));
    rig.service.close().await;
}

#[tokio::test]
async fn a_repeat_gets_its_answer_where_the_same_request_would_be_refused_now() {
    let settings = MonitorSettings {
        retention_ms: 60_000,
        ..MonitorSettings::default()
    };
    let rig = Rig::in_memory(settings).await;
    let set = gauge("g", &[], 7.0, START_MS);
    let many = batch(vec![set.clone(), set.clone()]);
    let first = rig.service.record_metric(&keyed("one"), set.clone()).await;
    let first_batch = rig.service.record_batch(&keyed("two"), many.clone()).await;
    rig.clock.advance_ms(60_001);
    let again = rig.service.record_metric(&keyed("one"), set.clone()).await;
    assert_eq!(again.expect("has its answer"), first.expect("is new"));
    let again = rig.service.record_batch(&keyed("two"), many.clone()).await;
    assert_eq!(again.expect("has its answer"), first_batch.expect("is new"));
    // Another key, no key, and another request under a key that was used.
    for call in [keyed("three"), context()] {
        let refused = rig.service.record_metric(&call, set.clone()).await;
        assert_eq!(refusal(refused.expect_err("too old")).0, 2204);
    }
    let other = gauge("g", &[], 8.0, START_MS);
    let refused = rig.service.record_metric(&keyed("one"), other).await;
    assert_eq!(refusal(refused.expect_err("another request")).0, 1005);
    rig.service.close().await;
}

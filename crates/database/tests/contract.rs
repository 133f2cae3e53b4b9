//! One list of behaviours, run against SQLite, PostgreSQL and MariaDB.

#[path = "contract/away.rs"]
mod away;
#[path = "contract/definitions.rs"]
mod definitions;
#[path = "contract/environment.rs"]
mod environment;
#[path = "contract/fences.rs"]
mod fences;
#[path = "contract/lost.rs"]
mod lost;
#[path = "contract/sqlite.rs"]
mod sqlite;
#[path = "contract/statements.rs"]
mod statements;
mod support;
#[path = "contract/tls.rs"]
mod tls;
#[path = "contract/transactions.rs"]
mod transactions;
#[path = "contract/values.rs"]
mod values;
#[path = "contract/writes.rs"]
mod writes;

use plinth_core::Error;
use plinth_database::model::EngineKind;
use support::Bench;

fn code(error: impl Into<Error>) -> u16 {
    error.into().code().number()
}

fn field(error: &Error) -> &str {
    error
        .violations()
        .first()
        .map_or("", |violation| violation.field.as_str())
}

async fn numbers(bench: &Bench, name: &str, rows: i64) -> String {
    let table = bench.table(name);
    bench
        .run(
            &format!("create table {table} (n int primary key, pad varchar(100))"),
            vec![],
        )
        .await;
    for first in (0..rows).step_by(1_000) {
        let values: Vec<String> = (first..rows.min(first + 1_000))
            .map(|n| format!("({n}, 'row {n}')"))
            .collect();
        bench
            .run(
                &format!("insert into {table} values {}", values.join(",")),
                vec![],
            )
            .await;
    }
    table
}

/// A statement that runs for a minute or more, and a name by which it is found at the server.
fn endless(bench: &Bench) -> (String, String) {
    let name = bench.table("endless");
    let sql = match bench.engine {
        EngineKind::Sqlite => {
            "with recursive n(x) as (select 1 union all select x + 1 from n where x < 1000000000) select count(*) from n"
                .to_owned()
        }
        EngineKind::Postgres => format!("select count(*) as {name} from generate_series(1, 10000000000)"),
        EngineKind::Mariadb => format!("select sleep(60) as {name}"),
    };
    (sql, name)
}

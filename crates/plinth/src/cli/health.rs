//! `plinth health`

use anyhow::Result;
use plinth_client::Health;

use super::output::time_text;
use super::{Context, Table};

/// Shows the health of the server and, to those who may see them, of its parts.
pub(crate) async fn run(context: &Context) -> Result<()> {
    let health = context.client.access().health().await?;
    context.output.show(&health, health_table)
}

fn health_table(health: &Health) -> Table {
    let mut table = Table::new(["part", "status", "since", "message"]);
    let about = match (&health.version, health.uptime_ms) {
        (Some(version), Some(uptime_ms)) => {
            let uptime = std::time::Duration::from_secs(uptime_ms.unsigned_abs() / 1_000);
            format!("version {version}, up {}", indicatif::HumanDuration(uptime))
        }
        _ => "the parts are shown with the permission health.check".to_owned(),
    };
    let instance = "(instance)".to_owned();
    table.row([instance, health.status.clone(), String::new(), about]);
    for part in health.components.iter().flatten() {
        table.row([
            part.name.clone(),
            part.status.clone(),
            time_text(part.since_ms),
            part.message.clone().unwrap_or_default(),
        ]);
    }
    table
}

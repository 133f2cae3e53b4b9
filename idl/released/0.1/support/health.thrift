// The structs of the health block.
namespace go support.health
namespace py support.health
namespace java support.health
namespace js support.health

include "../base.thrift"

// State of one part of the instance or of something it depends on.
struct HealthComponent {
    // Name of the part: `queue.engine`, `control.store`.
    1: required string name
    // `up`, `degraded`, `down` or `starting`.
    2: required string status
    // What is wrong, for people; absent while it is up.
    3: optional string message
    // Since when it is in this state, in unix milliseconds.
    4: required i64 since_ms
}

struct HealthRequest {
    255: optional base.Base base
}

struct HealthResponse {
    // State of the whole instance: `up`, `degraded` (something it can do without is away), `down` (something it cannot do
    // without is away), `starting` or `draining` (send new work elsewhere).
    1: required string status
    // Whether the instance should be given work: true for `up` and `degraded`.
    2: required bool ready
    // Version of Plinth; only for callers with the permission `health.check`.
    3: optional string version
    // How long the instance has been running, in milliseconds; only for callers with the permission `health.check`.
    4: optional i64 uptime_ms
    // The parts, in the order of their names; only for callers with the permission `health.check`.
    5: optional list<HealthComponent> components
    255: optional base.BaseResp base_resp
}

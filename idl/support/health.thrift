// The structs of the health block.
namespace go support.health
namespace py support.health
namespace java support.health
namespace js support.health

include "../base.thrift"

struct HealthRequest {
    255: optional base.Base base
}

struct HealthResponse {
    255: optional base.BaseResp base_resp
}

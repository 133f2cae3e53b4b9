// The structs of the db block.
namespace go support.db
namespace py support.db
namespace java support.db
namespace js support.db

include "../base.thrift"

struct DbRegisterDatabaseRequest {
    255: optional base.Base base
}

struct DbRegisterDatabaseResponse {
    255: optional base.BaseResp base_resp
}

struct DbListDatabasesRequest {
    255: optional base.Base base
}

struct DbListDatabasesResponse {
    255: optional base.BaseResp base_resp
}

struct DbRemoveDatabaseRequest {
    255: optional base.Base base
}

struct DbRemoveDatabaseResponse {
    255: optional base.BaseResp base_resp
}

struct DbExecuteQueryRequest {
    255: optional base.Base base
}

struct DbExecuteQueryResponse {
    255: optional base.BaseResp base_resp
}

struct DbExecuteTransactionRequest {
    255: optional base.Base base
}

struct DbExecuteTransactionResponse {
    255: optional base.BaseResp base_resp
}

struct DbAnalyzeQueryRequest {
    255: optional base.Base base
}

struct DbAnalyzeQueryResponse {
    255: optional base.BaseResp base_resp
}

struct DbGetIndexSuggestionsRequest {
    255: optional base.Base base
}

struct DbGetIndexSuggestionsResponse {
    255: optional base.BaseResp base_resp
}

struct DbGetSlowQueriesRequest {
    255: optional base.Base base
}

struct DbGetSlowQueriesResponse {
    255: optional base.BaseResp base_resp
}

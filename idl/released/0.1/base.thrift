// What Kitex teams know as base: identity of the call, and room for what the framework carries.
namespace go base
namespace py base
namespace java base
namespace js base

// Travels as field 255 of every request.
struct Base {
    // Id of the caller's log line or trace; free text, at most 128 bytes.
    1: optional string log_id
    // Name of the calling service; free text, at most 128 bytes.
    2: optional string caller
    // Address of the calling service, as it sees itself. Not trusted.
    3: optional string addr
    // Name of the client library.
    4: optional string client
    // At most 32 entries. `authorization` holds the API key ("Bearer plk_…") of clients whose transport has no
    // headers (Framed, Buffered); `traceparent` the W3C trace context. A header of the same name goes first.
    6: optional map<string, string> extra
}

// Travels as field 255 of every reply.
struct BaseResp {
    // Free text for people; empty on success.
    1: optional string status_message
    // 0 on success. Failures are declared exceptions, so a reply never holds another value.
    2: optional i32 status_code
    // Facts about the reply: `traceparent`, `degraded`.
    3: optional map<string, string> extra
}

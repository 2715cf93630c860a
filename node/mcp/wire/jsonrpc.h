/* jsonrpc.h: JSON-RPC 2.0 messages as MCP uses them: ids are strings or integers (by value, as in
 * JSON Schema: 1.0 is one) and come back as they were written, because what is kept is their text;
 * params and results are objects; an error for an unreadable request has no id. */
#ifndef JSONRPC_H
#define JSONRPC_H

#include "node/json/json.h"

enum jsonrpc_code {
    JSONRPC_PARSE_ERROR = -32700,
    JSONRPC_INVALID_REQUEST = -32600,
    JSONRPC_METHOD_NOT_FOUND = -32601,
    JSONRPC_INVALID_PARAMS = -32602,
    JSONRPC_INTERNAL = -32603,
    /* MCP 2026-07-28 */
    JSONRPC_HEADER_MISMATCH = -32020,
    JSONRPC_MISSING_CAPABILITY = -32021,
    JSONRPC_UNSUPPORTED_VERSION = -32022,
    /* MCP 2025, resources only */
    JSONRPC_RESOURCE_NOT_FOUND = -32002,
    JSONRPC_URL_ELICITATION = -32042
};

enum jsonrpc_kind { JSONRPC_REQUEST = 1, JSONRPC_NOTIFICATION, JSONRPC_RESULT, JSONRPC_ERROR };

/* Everything is borrowed from the parsed text and its tree. */
struct jsonrpc_message {
    enum jsonrpc_kind kind;
    struct mn_span id;         /* verbatim text of the id; empty: none (or null in an error) */
    struct mn_span method;     /* request, notification */
    const struct json *params; /* request, notification: an object, or NULL */
    const struct json *result; /* result: an object */
    int64_t code;              /* error */
    struct mn_span message;    /* error */
    struct mn_span data;       /* error: verbatim JSON, or empty */
};

/* Keeps message, params/result, and one level of what is in them (_meta, arguments, tools[]). */
#define JSONRPC_LARGE ((size_t)256 << 10) /* bytes from which on a message is checked in pieces */
#define JSONRPC_LIMITS ((struct json_limits){JSON_DEPTH_MAX, 3, JSON_NODES_MAX})

#define JSONRPC_ID_SIZE_MAX 256 /* bytes of an id's text */

/* Judges one parsed message (not a batch). MN_MALFORMED: not JSON-RPC 2.0 as MCP allows it;
 * ret->id is then still set when an id could be read, for the error response. */
MN_MUST_USE mn_status jsonrpc_decode(const struct json *value, struct jsonrpc_message *ret);

/* The number in an id that we gave out ourselves, perhaps as "5.0". MN_MALFORMED: it is none of
 * ours. */
MN_MUST_USE mn_status jsonrpc_id_number(struct mn_span id, uint64_t *ret);

/* Writers. [id], [params], [result] and [data] are JSON text, spliced verbatim; an empty [id] gives
 * an error without id, empty [params] and [data] leave the member out. */
void jsonrpc_write_request(struct mn_writer *writer, struct mn_span id, const char *method,
                           struct mn_span params);
void jsonrpc_write_notification(struct mn_writer *writer, const char *method,
                                struct mn_span params);
/* What stands before a result; "}" stands behind it. */
void jsonrpc_begin_result(struct mn_writer *writer, struct mn_span id);
void jsonrpc_write_result(struct mn_writer *writer, struct mn_span id, struct mn_span result);
void jsonrpc_write_error(struct mn_writer *writer, struct mn_span id, int64_t code,
                         struct mn_span message, struct mn_span data);

#endif

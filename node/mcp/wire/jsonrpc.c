#include "node/mcp/wire/jsonrpc.h"

#include "node/json/schema.h"
#include "proto/base/check.h"

enum {
    MEMBER_JSONRPC,
    MEMBER_ID,
    MEMBER_METHOD,
    MEMBER_PARAMS,
    MEMBER_RESULT,
    MEMBER_ERROR,
    MEMBERS_COUNT
};

static const char *const member_names[MEMBERS_COUNT] = {
    [MEMBER_JSONRPC] = "jsonrpc", [MEMBER_ID] = "id",         [MEMBER_METHOD] = "method",
    [MEMBER_PARAMS] = "params",   [MEMBER_RESULT] = "result", [MEMBER_ERROR] = "error",
};

static bool jsonrpc_is_id(const struct json *id)
{
    if (id == NULL || id->raw.size > JSONRPC_ID_SIZE_MAX) return false;
    if (id->type == JSON_STRING) return true;
    return id->type == JSON_NUMBER && schema_number_is_integer(id->raw);
}

static mn_status jsonrpc_decode_call(const struct json *const *members, struct jsonrpc_message *ret)
{
    const struct json *params = members[MEMBER_PARAMS];

    if (members[MEMBER_METHOD]->type != JSON_STRING) return MN_MALFORMED;
    if (members[MEMBER_RESULT] != NULL || members[MEMBER_ERROR] != NULL) return MN_MALFORMED;
    if (params != NULL && params->type != JSON_OBJECT) return MN_MALFORMED;
    if (members[MEMBER_ID] != NULL && ret->id.size == 0) return MN_MALFORMED;
    ret->kind = members[MEMBER_ID] == NULL ? JSONRPC_NOTIFICATION : JSONRPC_REQUEST;
    ret->method = members[MEMBER_METHOD]->text;
    ret->params = params;
    return MN_OK;
}

static mn_status jsonrpc_decode_error(const struct json *const *members,
                                      struct jsonrpc_message *ret)
{
    static const char *const names[] = {"code", "message", "data"};
    const struct json *id = members[MEMBER_ID], *parts[3];

    if (members[MEMBER_ERROR]->type != JSON_OBJECT) return MN_MALFORMED;
    if (id != NULL && id->type != JSON_NULL && ret->id.size == 0) return MN_MALFORMED;
    if (json_pick(members[MEMBER_ERROR], names, 3, parts) != MN_OK) return MN_MALFORMED;
    if (json_i64(parts[0], &ret->code) != MN_OK) return MN_MALFORMED;
    if (!json_is(parts[1], JSON_STRING)) return MN_MALFORMED;
    ret->kind = JSONRPC_ERROR;
    ret->message = parts[1]->text;
    if (parts[2] != NULL) ret->data = parts[2]->raw;
    return MN_OK;
}

mn_status jsonrpc_decode(const struct json *value, struct jsonrpc_message *ret)
{
    const struct json *members[MEMBERS_COUNT];
    mn_status status;

    *ret = (struct jsonrpc_message){0};
    if (value->type != JSON_OBJECT) return MN_MALFORMED;
    status = json_pick(value, member_names, MEMBERS_COUNT, members);
    if (jsonrpc_is_id(members[MEMBER_ID])) ret->id = members[MEMBER_ID]->raw;
    if (status != MN_OK || !mn_span_is(json_text(members[MEMBER_JSONRPC]), "2.0"))
        return MN_MALFORMED;
    if (members[MEMBER_METHOD] != NULL) return jsonrpc_decode_call(members, ret);
    if ((members[MEMBER_RESULT] == NULL) == (members[MEMBER_ERROR] == NULL)) return MN_MALFORMED;
    if (members[MEMBER_ERROR] != NULL) return jsonrpc_decode_error(members, ret);
    if (members[MEMBER_RESULT]->type != JSON_OBJECT || ret->id.size == 0) return MN_MALFORMED;
    ret->kind = JSONRPC_RESULT;
    ret->result = members[MEMBER_RESULT];
    return MN_OK;
}

/* Without a fraction that is zero, as those have it whose numbers are all floating ("5.0"). */
static struct mn_span jsonrpc_id_whole(struct mn_span id)
{
    const uint8_t *point = id.size == 0 ? NULL : memchr(id.data, '.', id.size);
    size_t size = id.size;

    if (point == NULL) return id;
    while (size > 0 && id.data[size - 1] == '0')
        size--;
    if (size == id.size || &id.data[size - 1] != point) return id;
    return mn_span(id.data, size - 1);
}

mn_status jsonrpc_id_number(struct mn_span id, uint64_t *ret)
{
    uint64_t number = 0;

    id = jsonrpc_id_whole(id);
    if (id.size == 0 || id.size > 19 || (id.data[0] == '0' && id.size > 1)) return MN_MALFORMED;
    for (size_t i = 0; i < id.size; i++) {
        if (id.data[i] < '0' || id.data[i] > '9') return MN_MALFORMED;
        number = number * 10 + (uint64_t)(id.data[i] - '0');
    }
    *ret = number;
    return MN_OK;
}

static void jsonrpc_write_call(struct mn_writer *writer, const char *method, struct mn_span params)
{
    mn_writer_str(writer, "\"method\":");
    json_write_string(writer, mn_span_str(method));
    if (params.size > 0) {
        mn_writer_str(writer, ",\"params\":");
        mn_writer_add(writer, params);
    }
    mn_writer_str(writer, "}");
}

void jsonrpc_write_request(struct mn_writer *writer, struct mn_span id, const char *method,
                           struct mn_span params)
{
    MN_ASSERT(id.size > 0);
    mn_writer_str(writer, "{\"jsonrpc\":\"2.0\",\"id\":");
    mn_writer_add(writer, id);
    mn_writer_str(writer, ",");
    jsonrpc_write_call(writer, method, params);
}

void jsonrpc_write_notification(struct mn_writer *writer, const char *method, struct mn_span params)
{
    mn_writer_str(writer, "{\"jsonrpc\":\"2.0\",");
    jsonrpc_write_call(writer, method, params);
}

void jsonrpc_begin_result(struct mn_writer *writer, struct mn_span id)
{
    MN_ASSERT(id.size > 0);
    mn_writer_str(writer, "{\"jsonrpc\":\"2.0\",\"id\":");
    mn_writer_add(writer, id);
    mn_writer_str(writer, ",\"result\":");
}

void jsonrpc_write_result(struct mn_writer *writer, struct mn_span id, struct mn_span result)
{
    MN_ASSERT(result.size > 0);
    mn_writer_reserve(writer, id.size + result.size + 64); /* a large one is not moved about */
    jsonrpc_begin_result(writer, id);
    mn_writer_add(writer, result);
    mn_writer_str(writer, "}");
}

void jsonrpc_write_error(struct mn_writer *writer, struct mn_span id, int64_t code,
                         struct mn_span message, struct mn_span data)
{
    mn_writer_str(writer, "{\"jsonrpc\":\"2.0\",");
    if (id.size > 0) {
        mn_writer_str(writer, "\"id\":");
        mn_writer_add(writer, id);
        mn_writer_str(writer, ",");
    }
    mn_writer_format(writer, "\"error\":{\"code\":%lld,\"message\":", (long long)code);
    json_write_string(writer, message);
    if (data.size > 0) {
        mn_writer_str(writer, ",\"data\":");
        mn_writer_add(writer, data);
    }
    mn_writer_str(writer, "}}");
}

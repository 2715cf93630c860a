/* The list methods: pages out of the tables of names. A cursor says which page of which state of
 * the list comes next, sealed, so that nobody can make one up; when the list has changed meanwhile,
 * its pages do not fit together any more, and the client starts again. */
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"

#define FAIL(...) front_reply_fail(front, exchange, __VA_ARGS__)

struct front_cursor {
    uint8_t kind, page[4], digest[NAMES_DIGEST_SIZE];
};

_Static_assert(sizeof(struct front_cursor) == 5 + NAMES_DIGEST_SIZE, "a cursor has no padding");

/* As front_unseal() says; MN_EXPIRED: of another state of the list. */
static mn_status front_list_page(struct front *front, const struct front_exchange *exchange,
                                 const mn_id *context, enum names_kind kind,
                                 const uint8_t digest[NAMES_DIGEST_SIZE], const struct json *json,
                                 uint32_t *ret)
{
    struct front_cursor cursor;
    struct mn_span opened;
    mn_status status;

    *ret = 0;
    if (json == NULL || json->type == JSON_NULL) return MN_OK;
    if (json->type != JSON_STRING) return MN_MALFORMED;
    status = front_unseal(front, SEALED_CURSOR, &exchange->principal, context, json->text, &opened);
    if (status != MN_OK) return status;
    if (opened.size != sizeof cursor) return MN_MALFORMED;
    memcpy(&cursor, opened.data, sizeof cursor);
    *ret = mn_load_u32(cursor.page);
    return cursor.kind == (uint8_t)kind && memcmp(cursor.digest, digest, NAMES_DIGEST_SIZE) == 0
               ? MN_OK
               : MN_EXPIRED;
}

/* [page] without its closing brace, and the cursor of the next one. */
static struct mn_span front_list_chain(struct front *front, const struct front_exchange *exchange,
                                       const mn_id *context, enum names_kind kind,
                                       const uint8_t digest[NAMES_DIGEST_SIZE], uint32_t next,
                                       struct mn_span page)
{
    struct front_cursor cursor = {.kind = (uint8_t)kind};
    struct mn_span text;

    mn_store_u32(cursor.page, next);
    memcpy(cursor.digest, digest, NAMES_DIGEST_SIZE);
    text = front_seal(front, SEALED_CURSOR, &exchange->principal, context, 0,
                      mn_span(&cursor, sizeof cursor));
    return mn_span_str(mn_arena_format(&front->scratch, "%.*s,\"nextCursor\":\"%.*s\"}",
                                       (int)(page.size - 1), (const char *)page.data,
                                       (int)text.size, (const char *)text.data));
}

void front_list(struct front *front, struct front_exchange *exchange, bool is_modern,
                const struct jsonrpc_message *message, struct names_endpoint at,
                enum names_kind kind)
{
    mn_id context = sealed_context_list(exchange->service, message->method);
    uint8_t digest[NAMES_DIGEST_SIZE];
    struct mn_span result;
    mn_status status;
    uint32_t page;

    if (at.service != NULL && !at.service->has[kind]) {
        FAIL(is_modern ? 404 : 200, message->id, JSONRPC_METHOD_NOT_FOUND, "Method not found");
        return;
    }
    names_digest(&front->names, exchange->service, &at.client, kind, digest);
    status = front_list_page(front, exchange, &context, kind, digest,
                             json_find_str(message->params, "cursor"), &page);
    if (status == MN_EXPIRED && front_about_is_early(front)) {
        front_about_early(front, exchange, 200, message->id); /* the list it is of may come yet */
        return;
    }
    if (status != MN_OK) {
        FAIL(front_seal_code(status, 200), message->id, JSONRPC_INVALID_PARAMS,
             "unknown cursor, or the list has changed since: ask for it from its beginning");
        return;
    }
    result = names_list(&front->names, at, kind, is_modern ? NAMES_MODERN : NAMES_LEGACY, page);
    if ((uint64_t)(page + 1) * NAMES_PAGE < names_count(&front->names, at, kind))
        result = front_list_chain(front, exchange, &context, kind, digest, page + 1, result);
    front_reply_result(front, exchange, message->id, result);
}

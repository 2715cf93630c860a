/* The small surface: mesh_find and mesh_call, two tools that stand for all others. Their own
 * definitions never change, and what they find and call is what their endpoint shows: at a view its
 * tools, elsewhere those of /mcp. A call through mesh_call becomes the call of the tool it names
 * before it leaves this node: its arguments are judged, its rounds and questions are its own. */
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"
#include "proto/base/text.h"

#define FAIL(...) front_reply_fail(front, exchange, __VA_ARGS__)
#define WORDS_MAX 8
#define FOUND_DEFAULT 10 /* definitions are long, and models read all of it */
#define FOUND_MAX 100

static const struct json_limits kept_members = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};

bool front_small_is(const struct front_target *target)
{
    return target->tool != NULL && mn_span_is(target->tool->service->name, CALL_NAME_MESH) &&
           (mn_span_is(target->tool->own, NAMES_FIND) || mn_span_is(target->tool->own, NAMES_CALL));
}

/* ---- mesh_find ---- */

struct search {
    struct mn_span words[WORDS_MAX];
    uint32_t words_count, limit, found_count;
    struct audience_client client; /* what its client declared */
    struct mn_writer items;
};

static void search_split(struct search *search, struct mn_span text)
{
    for (size_t at = 0; at < text.size && search->words_count < WORDS_MAX;) {
        size_t begin;
        while (at < text.size && text.data[at] == ' ')
            at++;
        begin = at;
        while (at < text.size && text.data[at] != ' ')
            at++;
        if (at > begin)
            search->words[search->words_count++] = mn_span(text.data + begin, at - begin);
    }
}

static bool search_has_word(struct front *front, const struct names_item *tool, struct mn_span name,
                            struct mn_span word)
{
    struct mn_arena *arena = &front->names.scratch; /* nobody needs all definitions at once */
    const struct json *definition;
    bool has_word = mn_text_has(name, word);

    if (has_word) return true;
    if (json_parse_copy(front->parser, tool->definition, kept_members, arena, &definition) == MN_OK)
        has_word = mn_text_has(json_text(json_find_str(definition, "description")), word) ||
                   mn_text_has(json_text(json_find_str(definition, "title")), word);
    mn_arena_reset(arena);
    return has_word;
}

/* [pass] 0: all words stand in the name; 1: some only in title or description. */
static bool search_fits(struct front *front, const struct search *search,
                        const struct names_item *tool, struct mn_span name, int pass)
{
    bool is_named = true;

    for (uint32_t i = 0; i < search->words_count; i++)
        is_named = is_named && mn_text_has(name, search->words[i]);
    if (pass == 0 || is_named) return pass == 0 && is_named;
    for (uint32_t i = 0; i < search->words_count; i++)
        if (!search_has_word(front, tool, name, search->words[i])) return false;
    return true;
}

static void search_add(struct front *front, struct search *search, const struct names_item *tool,
                       struct mn_span name, enum names_era era)
{
    if (search->found_count++ >= search->limit) return;
    if (search->found_count > 1) mn_writer_str(&search->items, ",");
    mn_writer_str(&search->items, "{\"name\":");
    json_write_string(&search->items, name);
    mn_writer_str(&search->items, ",\"server\":");
    json_write_string(&search->items, tool->service->name);
    mn_writer_format(&search->items,
                     ",\"nodes\":%u,\"definition\":", tool->service->providers_count);
    names_offer_write(&search->items, &front->names, tool, NAMES_TOOLS, name, era);
    mn_writer_str(&search->items, "}");
}

static void search_run(struct front *front, struct search *search, struct names_view *view,
                       enum names_era era)
{
    const struct names_row *rows = NULL;
    struct names_item **tools = NULL;
    uint32_t count = view == NULL ? names_listed(&front->names, NAMES_TOOLS, &tools)
                                  : names_view_tools(view, &rows);

    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < count; i++) {
            struct names_item *tool = view == NULL ? tools[i] : rows[i].item;
            struct mn_span name = view == NULL ? tool->exposed : rows[i].exposed;
            struct front_target target = {.tool = tool};
            if (front_small_is(&target) || !audience_shows(&tool->audience, &search->client))
                continue;
            tool = names_as_seen(tool, &search->client);
            if (search_fits(front, search, tool, name, pass))
                search_add(front, search, tool, name, era);
        }
}

/* The result as text for models and as structure for programs. */
static void write_found(struct mn_writer *result, const struct search *search, bool is_modern)
{
    struct mn_writer json = {0};

    mn_writer_str(&json, "{\"kind\":\"ToolList\",\"items\":[");
    mn_writer_add(&json, mn_buf_span(search->items.buf));
    mn_writer_format(&json, "],\"total\":%u}", search->found_count);
    mn_writer_str(result,
                  is_modern ? "{\"resultType\":\"complete\",\"content\":" : "{\"content\":");
    mn_writer_str(result, "[{\"type\":\"text\",\"text\":");
    json_write_string(result, mn_buf_span(json.buf));
    mn_writer_str(result, "}],\"structuredContent\":");
    mn_writer_add(result, mn_buf_span(json.buf));
    mn_writer_str(result, "}");
    mn_writer_drop(&json);
}

void front_small_find(struct front *front, struct front_exchange *exchange,
                      const struct front_session *session, const struct jsonrpc_message *message,
                      struct mn_span capabilities)
{
    const struct json *arguments = json_find_str(message->params, "arguments");
    struct search search = {.limit = FOUND_DEFAULT,
                            .client = front_about_client(front, capabilities)};
    struct names_endpoint at;
    struct mn_writer result = {0};
    int64_t limit;

    if (json_i64(json_find_str(arguments, "limit"), &limit) == MN_OK && limit >= 1)
        search.limit = (uint32_t)(limit < FOUND_MAX ? limit : FOUND_MAX);
    search_split(&search, json_text(json_find_str(arguments, "text")));
    if (!front_about_find(front, exchange->service, &at)) at.view = NULL;
    search_run(front, &search, at.view, session == NULL ? NAMES_MODERN : NAMES_LEGACY);
    write_found(&result, &search, session == NULL);
    front_reply_result(front, exchange, message->id, mn_buf_span(result.buf));
    mn_writer_drop(&result);
    mn_writer_drop(&search.items);
}

/* ---- mesh_call ---- */

/* The key and value of a member that nobody wrote; [text] is both, of which [name_size] bytes are
 * the key, in quotes. */
static struct json *inner_member(struct json *to, enum json_type type, const char *text,
                                 size_t name_size, struct mn_span value)
{
    struct mn_span raw = mn_span_str(text);

    *to++ = (struct json){.type = JSON_STRING,
                          .skip = 1,
                          .raw = mn_span(raw.data, name_size),
                          .text = mn_span(raw.data + 1, name_size - 2)};
    *to++ = (struct json){.type = type,
                          .is_kept = true,
                          .skip = 1,
                          .raw = mn_span(raw.data + name_size + 1, raw.size - name_size - 1),
                          .text = value};
    return to;
}

static struct json *inner_copy(struct json *to, const struct json *key)
{
    size_t count = 1 + json_value(key)->skip;

    memcpy(to, key, count * sizeof *to);
    return to + count;
}

/* The key of that member; NULL: there is none. */
static const struct json *inner_key(const struct json *object, const char *name)
{
    const struct json *value = json_find_str(object, name);
    return value == NULL ? NULL : value - 1;
}

/* The params of the call that is meant: everything but name and arguments stays. Only made of what
 * is there, for it may be large. */
static const struct json *inner_params(struct front *front, const struct json *params,
                                       struct mn_span name, const struct json *arguments)
{
    static const char none[sizeof "\"arguments\":{}" + MN_BUF_PADDING] = "\"arguments\":{}";
    struct mn_writer text = {0};
    struct json *whole = mn_arena_alloc(&front->scratch, (params->skip + 5) * sizeof *whole);
    struct json *to = whole + 1;

    mn_writer_str(&text, "\"name\":");
    json_write_string(&text, name);
    to = inner_member(to, JSON_STRING,
                      (const char *)mn_arena_copy(&front->scratch, mn_buf_span(text.buf)).data,
                      sizeof "\"name\"" - 1, name);
    mn_writer_drop(&text);
    if (arguments != NULL && json_value(arguments)->type == JSON_OBJECT)
        to = inner_copy(to, arguments);
    else
        to = inner_member(to, JSON_OBJECT, none, sizeof "\"arguments\"" - 1, mn_span(NULL, 0));
    *whole = (struct json){.type = JSON_OBJECT, .is_kept = true, .count = 2};
    for (const struct json *key = json_first(params); key != NULL; key = json_next(params, key)) {
        if (mn_span_is(key->text, "name") || mn_span_is(key->text, "arguments")) continue;
        to = inner_copy(to, key);
        whole->count++;
    }
    whole->skip = (uint32_t)(to - whole);
    return whole;
}

bool front_small_unwrap(struct front *front, struct front_exchange *exchange,
                        const struct jsonrpc_message *message, struct front_target *target,
                        struct jsonrpc_message *ret)
{
    const struct json *arguments = json_find_str(message->params, "arguments");
    struct mn_span name = json_text(json_find_str(arguments, "tool"));

    *target = (struct front_target){0};
    if (!front_route_tool(front, exchange, message->id, name, target)) return false;
    if (front_small_is(target)) {
        FAIL(200, message->id, JSONRPC_INVALID_PARAMS,
             NAMES_CALL " calls other tools; " NAMES_FIND " finds their names");
        return false;
    }
    *ret = *message;
    ret->params = inner_params(front, message->params, name, inner_key(arguments, "arguments"));
    return true;
}

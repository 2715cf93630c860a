#include "node/mcp/names/curation.h"

#include "crypto/digest.h"
#include "proto/base/text.h"
#include "proto/call.h"

#define KEY_MAX 1024 /* bytes; what the mesh's map takes */

static const struct json_limits kept_entries = {16, 3, 8192};
static const struct json_limits kept_members = {16, 1, 64};
static const struct json_limits kept_all = {JSON_DEPTH_MAX, JSON_DEPTH_MAX, JSON_NODES_MAX};

void curation_init(struct curation *curation, uint64_t seed)
{
    *curation = (struct curation){0};
    mn_map_init(&curation->views, seed);
    mn_map_init(&curation->rules, seed);
}

void curation_done(struct curation *curation)
{
    mn_map_done(&curation->views);
    mn_map_done(&curation->rules);
    mn_arena_done(&curation->arena);
}

/* ---- names and patterns ---- */

static bool curation_is_plain(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

bool curation_is_view_name(struct mn_span name)
{
    if (name.size == 0 || name.size > CURATION_NAME_MAX) return false;
    for (size_t i = 0; i < name.size; i++)
        if (!curation_is_plain(name.data[i])) return false;
    return true;
}

/* `*` stands for any bytes; the last one that can take more gives way first. Linear in the text
 * for each `*` of the pattern. */
bool curation_fits(struct mn_span pattern, struct mn_span text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, resume = 0;

    while (t < text.size) {
        if (p < pattern.size && pattern.data[p] == '*') {
            star = p++;
            resume = t;
        } else if (p < pattern.size && pattern.data[p] == text.data[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++resume;
        } else {
            return false;
        }
    }
    while (p < pattern.size && pattern.data[p] == '*')
        p++;
    return p == pattern.size;
}

static bool curation_has_star(struct mn_span text)
{
    return text.size > 0 && memchr(text.data, '*', text.size) != NULL;
}

const struct curation_entry *curation_match(const struct curation_view *view,
                                            enum curation_kind kind, struct mn_span service,
                                            struct mn_span item)
{
    for (uint32_t i = 0; i < view->counts[kind]; i++) {
        const struct curation_entry *entry = &view->entries[kind][i];
        if (curation_fits(entry->server, service) && curation_fits(entry->item, item)) return entry;
    }
    return NULL;
}

/* ---- reading a view ---- */

static const struct {
    const char *list, *member; /* of an entry that is an object; NULL: there are none */
} kinds[CURATION_KINDS] = {{"tools", "tool"}, {"prompts", "prompt"}, {"resources", NULL}};

/* [list]: in which one; NULL: in none. */
static mn_status curation_refuse(struct mn_arena *arena, struct mn_span *why, const char *list,
                                 const char *text)
{
    *why = mn_span_str(
        mn_arena_format(arena, "%s%s%s", list == NULL ? "" : list, list == NULL ? "" : ": ", text));
    return MN_MALFORMED;
}

/* "SERVER/ITEM" */
static bool curation_split(struct mn_span text, struct curation_entry *entry)
{
    const uint8_t *slash = text.size == 0 ? NULL : memchr(text.data, '/', text.size);

    if (slash == NULL || slash == text.data || slash + 1 == text.data + text.size) return false;
    entry->server = mn_span(text.data, (size_t)(slash - text.data));
    entry->item = mn_span(slash + 1, text.size - (size_t)(slash + 1 - text.data));
    return entry->server.size <= CALL_NAME_MAX;
}

/* Clients see the name among those that we make ourselves, so it must not look like the mesh's. */
static bool curation_is_name(struct mn_span as)
{
    return curation_is_view_name(as) && !(as.size >= 5 && memcmp(as.data, "mesh_", 5) == 0);
}

static mn_status curation_read_entry(const struct json *json, enum curation_kind kind,
                                     struct mn_arena *arena, struct curation_entry *entry,
                                     struct mn_span *why)
{
    const char *names[] = {kinds[kind].member, "as"};
    const struct json *parts[2] = {json, NULL};

    *entry = (struct curation_entry){0};
    if (json->type == JSON_OBJECT && kinds[kind].member != NULL) {
        if (json_pick(json, names, 2, parts) != MN_OK || json->count != 2u ||
            !curation_is_name(json_text(parts[1])))
            return curation_refuse(arena, why, kinds[kind].list,
                                   "an entry with a name of its own is an object with the item "
                                   "and \"as\": 1 to 64 of A-Z a-z 0-9 _ -, not mesh_...");
        entry->as = json_text(parts[1]);
    }
    if (!curation_split(json_text(parts[0]), entry))
        return curation_refuse(arena, why, kinds[kind].list, "an entry is \"SERVER/ITEM\"");
    if (entry->as.size > 0 && (curation_has_star(entry->server) || curation_has_star(entry->item)))
        return curation_refuse(arena, why, kinds[kind].list,
                               "only one item can have the name \"as\"");
    return MN_OK;
}

static mn_status curation_read_list(const struct json *list, enum curation_kind kind,
                                    struct mn_arena *arena, struct curation_view *view,
                                    struct mn_span *why)
{
    struct curation_entry *entries;

    if (list == NULL) return MN_OK;
    if (list->type != JSON_ARRAY || list->count > CURATION_ENTRIES_MAX)
        return curation_refuse(arena, why, kinds[kind].list,
                               "an array of at most 1024 entries is needed");
    entries = mn_arena_alloc(arena, list->count * sizeof *entries);
    view->entries[kind] = entries;
    for (const struct json *item = json_first(list); item != NULL; item = json_next(list, item)) {
        struct curation_entry *entry = &entries[view->counts[kind]];
        mn_status status = curation_read_entry(item, kind, arena, entry, why);
        if (status != MN_OK) return status;
        for (uint32_t i = 0; i < view->counts[kind] && entry->as.size > 0; i++)
            if (mn_span_equal(entries[i].as, entry->as))
                return curation_refuse(arena, why, kinds[kind].list,
                                       "two entries have the same \"as\"");
        view->counts[kind]++;
    }
    return MN_OK;
}

/* A member that nobody reads is a wish that nobody grants. */
static mn_status curation_read_members(const struct json *json, const char *const *names,
                                       uint32_t count, const struct json **parts,
                                       struct mn_arena *arena, struct mn_span *why)
{
    if (json_pick(json, names, count, parts) != MN_OK)
        return curation_refuse(arena, why, NULL, "a member stands there twice");
    for (const struct json *key = json_first(json); key != NULL; key = json_next(json, key)) {
        bool is_known = false;
        for (uint32_t i = 0; i < count; i++)
            is_known = is_known || mn_span_is(key->text, names[i]);
        if (!is_known)
            return curation_refuse(arena, why, (const char *)mn_arena_copy(arena, key->text).data,
                                   "unknown member; a view has name, instructions, surface, "
                                   "tools, prompts, resources");
    }
    return MN_OK;
}

mn_status curation_read_view(struct json_parser *parser, struct mn_span name, struct mn_span text,
                             struct mn_arena *arena, struct curation_view **ret,
                             struct mn_span *why)
{
    static const char *const names[] = {"instructions", "surface",   "tools",
                                        "prompts",      "resources", "name"};
    struct curation_view *view = mn_arena_alloc(arena, sizeof *view);
    const struct json *json, *parts[6];
    mn_status status;

    *view = (struct curation_view){.name = mn_arena_copy(arena, name),
                                   .text = mn_arena_copy(arena, text)};
    if (!curation_is_view_name(name))
        return curation_refuse(arena, why, NULL, "a view's name is 1 to 64 of A-Z a-z 0-9 _ -");
    if (text.size > CURATION_VIEW_SIZE_MAX ||
        json_parse_copy(parser, text, kept_entries, arena, &json) != MN_OK ||
        json->type != JSON_OBJECT)
        return curation_refuse(arena, why, NULL, "a view is a JSON object of at most 64 KiB");
    status = curation_read_members(json, names, 6, parts, arena, why);
    if (status != MN_OK) return status;
    if (parts[5] != NULL && !mn_span_equal(json_text(parts[5]), name))
        return curation_refuse(arena, why, NULL, "\"name\" is not the name of the view");
    if (parts[0] != NULL && parts[0]->type != JSON_STRING)
        return curation_refuse(arena, why, NULL, "instructions must be a string");
    view->instructions = json_text(parts[0]);
    view->is_small = mn_span_is(json_text(parts[1]), "small");
    if (parts[1] != NULL && !view->is_small && !mn_span_is(json_text(parts[1]), "full"))
        return curation_refuse(arena, why, NULL, "surface must be \"full\" or \"small\"");
    for (int kind = 0; status == MN_OK && kind < CURATION_KINDS; kind++)
        status = curation_read_list(parts[2 + kind], (enum curation_kind)kind, arena, view, why);
    if (status == MN_OK) *ret = view;
    return status;
}

/* ---- loading ---- */

static bool curation_begins(struct mn_span text, const char *prefix, struct mn_span *rest)
{
    size_t size = strlen(prefix);

    if (text.size <= size || memcmp(text.data, prefix, size) != 0) return false;
    *rest = mn_span(text.data + size, text.size - size);
    return true;
}

static bool curation_load_view(struct curation *curation, struct mn_span name, struct mn_span text,
                               struct json_parser *parser)
{
    struct curation_view *view;
    struct mn_span why;

    if (curation->views.count == CURATION_VIEWS_MAX ||
        mn_map_find(&curation->views, name) != NULL ||
        curation_read_view(parser, name, text, &curation->arena, &view, &why) != MN_OK)
        return false;
    mn_map_insert(&curation->views, &view->by_name, view->name);
    return true;
}

static bool curation_load_rule(struct curation *curation, struct mn_span key, struct mn_span text,
                               struct json_parser *parser)
{
    static const char *const names[] = {"pin", "held", "reason", "at_ms"};
    struct curation_rule *rule = mn_arena_alloc(&curation->arena, sizeof *rule);
    const struct json *json, *parts[4];
    int64_t at = 0;

    *rule = (struct curation_rule){0};
    if (curation->rules.count == CURATION_RULES_MAX || key.size > KEY_MAX ||
        mn_map_find(&curation->rules, key) != NULL ||
        json_parse_copy(parser, text, kept_members, &curation->arena, &json) != MN_OK ||
        json->type != JSON_OBJECT || json_pick(json, names, 4, parts) != MN_OK)
        return false;
    rule->has_pin = mn_hex_decode(json_text(parts[0]), rule->pin, CURATION_PIN_SIZE) == MN_OK;
    /* A pin that cannot be read must not open what it closed. */
    rule->is_held = json_is_true(parts[1]) || (json_is(parts[0], JSON_STRING) && !rule->has_pin);
    rule->reason = json_text(parts[2]);
    if (json_i64(parts[3], &at) == MN_OK && at > 0) rule->at_ms = (uint64_t)at;
    mn_map_insert(&curation->rules, &rule->by_key, mn_arena_copy(&curation->arena, key));
    return true;
}

void curation_load(struct curation *curation, const struct curation_pair *pairs, uint32_t count,
                   struct json_parser *parser)
{
    curation_done(curation);
    mn_map_init(&curation->views, curation->views.seed);
    mn_map_init(&curation->rules, curation->rules.seed);
    for (uint32_t i = 0; i < count; i++) {
        struct mn_span rest;
        bool is_loaded = false;
        if (curation_begins(pairs[i].key, CURATION_VIEW_PREFIX, &rest))
            is_loaded = curation_load_view(curation, rest, pairs[i].value, parser);
        else if (curation_begins(pairs[i].key, CURATION_TOOL_PREFIX, &rest))
            is_loaded = curation_load_rule(curation, rest, pairs[i].value, parser);
        curation->dropped_count += !is_loaded;
    }
}

struct curation_view *curation_view(const struct curation *curation, struct mn_span name)
{
    struct mn_map_entry *entry = mn_map_find(&curation->views, name);
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct curation_view, by_name);
}

static const struct curation_rule *curation_rule_of(const struct curation *curation,
                                                    struct mn_span service, struct mn_span tool)
{
    uint8_t key[KEY_MAX];
    struct mn_map_entry *entry;

    if (service.size + 1 + tool.size > sizeof key || service.size == 0 || tool.size == 0)
        return NULL;
    memcpy(key, service.data, service.size);
    key[service.size] = '/';
    memcpy(key + service.size + 1, tool.data, tool.size);
    entry = mn_map_find(&curation->rules, mn_span(key, service.size + 1 + tool.size));
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct curation_rule, by_key);
}

const struct curation_rule *curation_rule(const struct curation *curation, struct mn_span service,
                                          struct mn_span tool)
{
    const struct curation_rule *rule = NULL;
    const uint8_t *dot;

    if (curation->rules.count == 0) return NULL;
    rule = curation_rule_of(curation, service, tool);
    dot = rule != NULL || service.size == 0 ? NULL : memchr(service.data, '.', service.size);
    if (dot == NULL) return rule;
    return curation_rule_of(curation, mn_span(service.data, (size_t)(dot - service.data)), tool);
}

/* ---- pins ---- */

struct curation_hash {
    uint8_t bytes[CURATION_PIN_SIZE];
};

/* Heap sort: an object may have very many members, and their author is not ours. */
static void curation_sift(struct curation_hash *heap, uint32_t at, uint32_t count)
{
    for (uint32_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        struct curation_hash moved = heap[at];
        if (child + 1 < count && memcmp(&heap[child], &heap[child + 1], sizeof *heap) < 0) child++;
        if (memcmp(&moved, &heap[child], sizeof moved) >= 0) return;
        heap[at] = heap[child];
        heap[child] = moved;
        at = child;
    }
}

static void curation_sort(struct curation_hash *items, uint32_t count)
{
    for (uint32_t at = count / 2; at > 0; at--)
        curation_sift(items, at - 1, count);
    for (uint32_t at = count; at > 1; at--) {
        struct curation_hash last = items[at - 1];
        items[at - 1] = items[0];
        items[0] = last;
        curation_sift(items, 0, at - 1);
    }
}

/* The parser has bounded the depth. A string counts as what it says, however it is escaped; a
 * number as it is written. */
static struct curation_hash curation_hash_of(const struct json *value, struct mn_arena *arena)
{
    struct curation_hash *items = NULL, ret;
    struct digest digest;
    uint8_t type = (uint8_t)value->type;
    uint32_t count = 0;

    if (value->type == JSON_ARRAY || value->type == JSON_OBJECT)
        items = mn_arena_alloc(arena, (value->count + 1) * sizeof *items);
    if (value->type == JSON_ARRAY)
        for (const struct json *item = json_first(value); item != NULL;
             item = json_next(value, item))
            items[count++] = curation_hash_of(item, arena);
    if (value->type == JSON_OBJECT)
        for (const struct json *key = json_first(value); key != NULL; key = json_next(value, key)) {
            struct curation_hash inner = curation_hash_of(json_value(key), arena);
            digest_begin(&digest, DIGEST_DEFINITION, sizeof inner);
            digest_variable(&digest, key->text);
            digest_fixed(&digest, mn_span(&inner, sizeof inner));
            digest_end(&digest, items[count++].bytes);
        }
    if (value->type == JSON_OBJECT) curation_sort(items, count);
    digest_begin(&digest, DIGEST_DEFINITION, sizeof ret);
    digest_fixed(&digest, mn_span(&type, 1));
    if (items != NULL)
        digest_variable(&digest, mn_span(items, count * sizeof *items));
    else
        digest_variable(&digest, value->type == JSON_STRING ? value->text : value->raw);
    digest_end(&digest, ret.bytes);
    return ret;
}

mn_status curation_digest(struct json_parser *parser, struct mn_span definition,
                          struct mn_arena *arena, uint8_t ret[CURATION_PIN_SIZE])
{
    const struct json *json;
    mn_status status = json_parse_copy(parser, definition, kept_all, arena, &json);
    struct curation_hash hash;

    if (status != MN_OK) return status;
    hash = curation_hash_of(json, arena);
    memcpy(ret, hash.bytes, CURATION_PIN_SIZE);
    return MN_OK;
}

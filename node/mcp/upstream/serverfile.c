#include "node/mcp/upstream/serverfile.h"

#include "node/json/json.h"
#include "node/mcp/upstream/upstreams.h"

#define TIMEOUT_SECONDS_MAX 86400
#define SERVERFILE_SHOWN_MAX 64 /* bytes of an option that is none: a name, mostly */

/* One reading under way; the first fault ends it. */
struct serverfile_reader {
    struct mn_span origin; /* empty: from the command line */
    struct mn_span server; /* whose entry is being read; empty: the file itself */
    struct mn_arena *arena;
    struct mn_span *why;
};

/* Says what is wrong, with its place in front. Returns MN_CONFIG. */
static mn_status serverfile_fail(const struct serverfile_reader *reader, const char *text)
{
    const char *place = "", *server = "";

    if (reader->origin.size > 0)
        place = mn_arena_format(reader->arena, "%.*s: ", (int)reader->origin.size,
                                (const char *)reader->origin.data);
    if (reader->server.size > 0)
        server = mn_arena_format(reader->arena, "server %.*s: ", (int)reader->server.size,
                                 (const char *)reader->server.data);
    *reader->why = mn_span_str(mn_arena_format(reader->arena, "%s%s%s", place, server, text));
    return MN_CONFIG;
}

static mn_status serverfile_fail_key(const struct serverfile_reader *reader, const char *key,
                                     const char *wanted)
{
    return serverfile_fail(reader, mn_arena_format(reader->arena, "%s: must be %s", key, wanted));
}

/* ---- values ---- */

static mn_status serverfile_text(const struct serverfile_reader *reader, const struct json *entry,
                                 const char *key, struct mn_span *ret)
{
    const struct json *value = json_find_str(entry, key);

    if (value == NULL) return MN_OK;
    if (value->type != JSON_STRING) return serverfile_fail_key(reader, key, "a string");
    *ret = value->text;
    return MN_OK;
}

static mn_status serverfile_flag(const struct serverfile_reader *reader, const struct json *entry,
                                 const char *key, bool *ret)
{
    const struct json *value = json_find_str(entry, key);

    if (value == NULL) return MN_OK;
    if (value->type != JSON_TRUE && value->type != JSON_FALSE)
        return serverfile_fail_key(reader, key, "true or false");
    *ret = value->type == JSON_TRUE;
    return MN_OK;
}

/* An array of strings; [first] of them are left free in front. */
static mn_status serverfile_texts(const struct serverfile_reader *reader, const struct json *entry,
                                  const char *key, uint32_t first, const struct mn_span **ret,
                                  uint32_t *ret_count)
{
    const struct json *value = json_find_str(entry, key);
    uint32_t count = first;
    struct mn_span *texts;

    if (value == NULL && first == 0) return MN_OK;
    if (value != NULL && value->type != JSON_ARRAY)
        return serverfile_fail_key(reader, key, "an array of strings");
    texts =
        mn_arena_alloc(reader->arena, (first + (value == NULL ? 0 : value->count)) * sizeof *texts);
    for (const struct json *item = value == NULL ? NULL : json_first(value); item != NULL;
         item = json_next(value, item)) {
        if (item->type != JSON_STRING)
            return serverfile_fail_key(reader, key, "an array of strings");
        texts[count++] = item->text;
    }
    for (uint32_t i = 0; i < first; i++)
        texts[i] = (*ret)[i];
    *ret = texts;
    *ret_count = count;
    return MN_OK;
}

/* An object of strings; numbers and booleans are taken as they are written, as other clients do. */
static mn_status serverfile_pairs(const struct serverfile_reader *reader, const struct json *entry,
                                  const char *key, const struct edge_header **ret,
                                  uint32_t *ret_count)
{
    const struct json *value = json_find_str(entry, key);
    struct edge_header *pairs;
    uint32_t count = 0;

    if (value == NULL) return MN_OK;
    if (value->type != JSON_OBJECT) return serverfile_fail_key(reader, key, "an object of strings");
    pairs = mn_arena_alloc(reader->arena, value->count * sizeof *pairs);
    for (const struct json *name = json_first(value); name != NULL; name = json_next(value, name)) {
        const struct json *text = json_value(name);
        if (text->type == JSON_ARRAY || text->type == JSON_OBJECT || text->type == JSON_NULL)
            return serverfile_fail_key(reader, key, "an object of strings");
        pairs[count++] =
            (struct edge_header){name->text, text->type == JSON_STRING ? text->text : text->raw};
    }
    *ret = pairs;
    *ret_count = count;
    return MN_OK;
}

static mn_status serverfile_era(const struct serverfile_reader *reader, const struct json *entry,
                                enum upstream_era *ret)
{
    static const char *const names[] = {"auto", "legacy", "modern"};
    struct mn_span era = mn_span_str("auto");
    mn_status status = serverfile_text(reader, entry, "era", &era);

    if (status != MN_OK) return status;
    for (int i = 0; i < 3; i++) {
        if (!mn_span_is(era, names[i])) continue;
        *ret = (enum upstream_era)i;
        return MN_OK;
    }
    return serverfile_fail_key(reader, "era", "\"auto\", \"legacy\" or \"modern\"");
}

static mn_status serverfile_timeout(const struct serverfile_reader *reader,
                                    const struct json *entry, mn_time *ret)
{
    const struct json *value = json_find_str(entry, "timeout");
    int64_t seconds;

    if (value == NULL) return MN_OK;
    if (json_i64(value, &seconds) != MN_OK || seconds < 1 || seconds > TIMEOUT_SECONDS_MAX)
        return serverfile_fail_key(reader, "timeout", "a number of seconds, 1 to 86400");
    *ret = (mn_time)seconds * MN_SEC;
    return MN_OK;
}

/* ---- entries ---- */

/* "type" is optional, and only checked: command and url say it already. */
static mn_status serverfile_type(const struct serverfile_reader *reader, const struct json *entry,
                                 bool is_url)
{
    static const char *const http[] = {"http", "streamable-http", "streamableHttp"};
    struct mn_span type = {0};
    mn_status status = serverfile_text(reader, entry, "type", &type);

    if (status != MN_OK || type.data == NULL) return status;
    if (mn_span_is(type, "stdio"))
        return is_url ? serverfile_fail(reader, "type is stdio, but there is a url") : MN_OK;
    if (mn_span_is(type, "sse"))
        return serverfile_fail(reader, "type: the sse transport of 2024 is not supported; use the "
                                       "server's Streamable HTTP endpoint with type http");
    for (size_t i = 0; i < sizeof http / sizeof *http; i++)
        if (mn_span_is(type, http[i]))
            return is_url ? MN_OK : serverfile_fail(reader, "type is http, but there is no url");
    return serverfile_fail_key(reader, "type", "\"stdio\" or \"http\"");
}

static mn_status serverfile_command(const struct serverfile_reader *reader,
                                    const struct json *entry, struct upstream_config *config)
{
    const struct json *command = json_find_str(entry, "command");
    mn_status status;

    if (command->type != JSON_STRING) return serverfile_fail_key(reader, "command", "a string");
    config->argv = &command->text;
    status = serverfile_texts(reader, entry, "args", 1, &config->argv, &config->argv_count);
    if (status == MN_OK)
        status = serverfile_pairs(reader, entry, "env", &config->env, &config->env_count);
    if (status == MN_OK) status = serverfile_text(reader, entry, "cwd", &config->cwd);
    return status;
}

static mn_status serverfile_url(const struct serverfile_reader *reader, const struct json *entry,
                                struct upstream_config *config)
{
    mn_status status = serverfile_text(reader, entry, "url", &config->url);

    if (status == MN_OK)
        status =
            serverfile_pairs(reader, entry, "headers", &config->headers, &config->headers_count);
    return status;
}

static mn_status serverfile_entry(const struct serverfile_reader *reader, const struct json *entry,
                                  struct upstream_config *config)
{
    bool is_command = json_find_str(entry, "command") != NULL;
    bool is_url = json_find_str(entry, "url") != NULL;
    struct mn_span why = {0};
    mn_status status;

    if (entry->type != JSON_OBJECT) return serverfile_fail(reader, "must be an object");
    if (is_command == is_url) return serverfile_fail(reader, "must have either a command or a url");
    config->name = reader->server;
    status =
        is_url ? serverfile_url(reader, entry, config) : serverfile_command(reader, entry, config);
    if (status == MN_OK) status = serverfile_type(reader, entry, is_url);
    if (status == MN_OK) status = serverfile_era(reader, entry, &config->era);
    if (status == MN_OK) status = serverfile_timeout(reader, entry, &config->call_timeout);
    if (status == MN_OK) status = serverfile_flag(reader, entry, "replica", &config->is_replica);
    if (status == MN_OK) status = serverfile_flag(reader, entry, "uniform", &config->is_uniform);
    if (status == MN_OK)
        status = serverfile_texts(reader, entry, "tools", 0, &config->tools, &config->tools_count);
    if (status != MN_OK) return status;
    /* ["*"] is how some clients say what leaving it out says. */
    if (config->tools_count == 1 && mn_span_is(config->tools[0], "*")) config->tools_count = 0;
    if (upstream_config_check(config, reader->arena, &why) == MN_OK) return MN_OK;
    return serverfile_fail(
        reader, mn_arena_format(reader->arena, "%.*s", (int)why.size, (const char *)why.data));
}

static mn_status serverfile_entries(struct serverfile_reader *reader, const struct json *object,
                                    struct serverfile *ret)
{
    struct upstream_config *servers;
    uint32_t count = 0;

    if (object->count > UPSTREAMS_MAX)
        return serverfile_fail(
            reader, mn_arena_format(reader->arena, "names more than %d servers", UPSTREAMS_MAX));
    servers = mn_arena_alloc(reader->arena, object->count * sizeof *servers);
    for (const struct json *key = json_first(object); key != NULL; key = json_next(object, key)) {
        bool is_disabled = false;
        mn_status status;
        reader->server = key->text;
        if (key->text.size == 0) return serverfile_fail(reader, "a server has an empty name");
        if (json_find(object, key->text) != json_value(key))
            return serverfile_fail(reader, "the name stands twice");
        status = serverfile_flag(reader, json_value(key), "disabled", &is_disabled);
        if (status != MN_OK) return status;
        if (is_disabled) continue;
        servers[count] = (struct upstream_config){0};
        status = serverfile_entry(reader, json_value(key), &servers[count]);
        if (status != MN_OK) return status;
        count++;
    }
    *ret = (struct serverfile){servers, count};
    return MN_OK;
}

/* The line of the byte at [offset], counted from 1 as editors do. */
static size_t serverfile_line(struct mn_span text, size_t offset)
{
    size_t line = 1;

    for (size_t i = 0; i < offset && i < text.size; i++)
        line += text.data[i] == '\n';
    return line;
}

static mn_status serverfile_parse(const struct serverfile_reader *reader, struct mn_span text,
                                  const struct json **ret)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 5, JSON_NODES_MAX};
    struct json_parser *parser;
    size_t offset;
    mn_status status;

    if (text.size > SERVERFILE_SIZE_MAX) return serverfile_fail(reader, "is over 1 MiB");
    parser = json_parser_new();
    status = json_parse_copy(parser, text, limits, reader->arena, ret);
    offset = json_error_offset(parser);
    json_parser_free(parser);
    if (status == MN_OK) return MN_OK;
    return serverfile_fail(reader,
                           mn_arena_format(reader->arena,
                                           "line %zu: not JSON (comments and trailing commas are "
                                           "not part of it)",
                                           serverfile_line(text, offset)));
}

mn_status serverfile_read(struct mn_span origin, struct mn_span text, struct mn_arena *arena,
                          struct serverfile *ret, struct mn_span *why)
{
    struct serverfile_reader reader = {.origin = origin, .arena = arena, .why = why};
    const struct json *root, *servers, *other;
    const char *key = "mcpServers";
    mn_status status = serverfile_parse(&reader, text, &root);

    if (status != MN_OK) return status;
    servers = json_find_str(root, key);
    other = json_find_str(root, "servers");
    if (servers != NULL && other != NULL)
        return serverfile_fail(&reader, "has both mcpServers and servers; keep one of them");
    if (servers == NULL) {
        servers = other;
        key = "servers";
    }
    if (servers == NULL)
        return serverfile_fail(&reader, "must be {\"mcpServers\": {\"NAME\": {...}}}");
    if (servers->type != JSON_OBJECT)
        return serverfile_fail_key(&reader, key, "an object of servers by name");
    return serverfile_entries(&reader, servers, ret);
}

/* ---- command line ---- */

/* Takes one word off the front of [text], which has no blanks in front; quotes keep blanks and are
 * left out. False: a quote is not closed. */
static bool serverfile_take_word(struct mn_span *text, struct mn_arena *arena, struct mn_span *ret)
{
    uint8_t *word = mn_arena_alloc(arena, text->size), quote = 0;
    size_t size = 0, at;

    for (at = 0; at < text->size; at++) {
        uint8_t c = text->data[at];
        if (quote == 0 && c == ' ') break;
        if (quote == 0 && (c == '\'' || c == '"'))
            quote = c;
        else if (c == quote)
            quote = 0;
        else
            word[size++] = c;
    }
    *text = mn_span(text->data + at, text->size - at);
    *ret = mn_span(word, size);
    return quote == 0;
}

static mn_status serverfile_words(const struct serverfile_reader *reader, struct mn_span text,
                                  struct upstream_config *config)
{
    uint32_t capacity = 0;
    struct mn_span *words = NULL;

    for (;;) {
        while (text.size > 0 && text.data[0] == ' ')
            text = mn_span(text.data + 1, text.size - 1);
        if (text.size == 0) break;
        if (config->argv_count == UPSTREAM_ARGV_MAX)
            return serverfile_fail(reader, "the command has too many words");
        words = mn_arena_grow(reader->arena, words, config->argv_count, &capacity, sizeof *words);
        if (!serverfile_take_word(&text, reader->arena, &words[config->argv_count]))
            return serverfile_fail(reader, "a quote in the command is not closed");
        config->argv_count++;
    }
    config->argv = words;
    return MN_OK;
}

/* SCHEME:// of any scheme: a mistyped one is a bad URL, not a command. */
static bool serverfile_is_url(struct mn_span text)
{
    size_t end = 0;

    while (end < text.size && ((text.data[end] | 0x20) >= 'a' && (text.data[end] | 0x20) <= 'z'))
        end++;
    return end > 0 && text.size - end >= 3 && memcmp(text.data + end, "://", 3) == 0;
}

mn_status serverfile_read_option(struct mn_span option, struct mn_arena *arena,
                                 struct upstream_config *ret, struct mn_span *why)
{
    struct serverfile_reader reader = {.arena = arena, .why = why};
    const uint8_t *equals = option.size == 0 ? NULL : memchr(option.data, '=', option.size);
    struct upstream_config config = {0};
    struct mn_span text, fault = {0};

    if (equals == NULL && option.size <= SERVERFILE_SHOWN_MAX) reader.server = option;
    if (equals == NULL || equals == option.data)
        return serverfile_fail(&reader, "write NAME=COMMAND ARGS or NAME=URL");
    reader.server = config.name =
        mn_arena_copy(arena, mn_span(option.data, (size_t)(equals - option.data)));
    text = mn_arena_copy(arena, mn_span(equals + 1, option.size - config.name.size - 1));
    if (serverfile_is_url(text)) {
        config.url = text;
    } else if (serverfile_words(&reader, text, &config) != MN_OK) {
        return MN_CONFIG;
    }
    if (config.url.size == 0 && config.argv_count == 0)
        return serverfile_fail(&reader, "the command is empty");
    if (upstream_config_check(&config, arena, &fault) != MN_OK)
        return serverfile_fail(
            &reader, mn_arena_format(arena, "%.*s", (int)fault.size, (const char *)fault.data));
    *ret = config;
    return MN_OK;
}

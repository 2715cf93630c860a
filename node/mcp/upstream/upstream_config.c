#include "node/mcp/upstream/upstream_config.h"

#include "crypto/digest.h"
#include "proto/call.h"

/* What a configuration says wrong; NULL: nothing. Texts live in [arena]. */
typedef const char *config_fault;

static size_t upstream_config_size_spans(const struct mn_span *spans, uint32_t count)
{
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++)
        size += spans[i].size + 1;
    return size;
}

static size_t upstream_config_size_pairs(const struct edge_header *pairs, uint32_t count)
{
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++)
        size += pairs[i].name.size + pairs[i].value.size + 2;
    return size;
}

static size_t upstream_config_size(const struct upstream_config *config)
{
    return config->name.size + config->cwd.size + config->url.size + 3 +
           upstream_config_size_spans(config->argv, config->argv_count) +
           upstream_config_size_spans(config->tools, config->tools_count) +
           upstream_config_size_pairs(config->env, config->env_count) +
           upstream_config_size_pairs(config->headers, config->headers_count);
}

static bool upstream_config_is_name(struct mn_span name)
{
    if (name.size == 0 || name.size > UPSTREAM_NAME_MAX) return false;
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_letter && !(c >= '0' && c <= '9') && c != '_' && c != '-') return false;
    }
    return true;
}

/* No NUL and, in [printable], no other control character either. */
static bool upstream_config_is_clean(struct mn_span text, bool printable)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c == 0 || (printable && (c < 0x20 || c == 0x7f) && c != '\t')) return false;
    }
    return true;
}

static bool upstream_config_is_token(struct mn_span name)
{
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        if (c <= 0x20 || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c) != NULL) return false;
    }
    return name.size > 0;
}

static bool upstream_config_has_prefix(struct mn_span text, const char *prefix)
{
    size_t size = strlen(prefix);
    return text.size >= size && memcmp(text.data, prefix, size) == 0;
}

static config_fault upstream_config_check_child(const struct upstream_config *config,
                                                struct mn_arena *arena)
{
    if (config->argv_count > UPSTREAM_ARGV_MAX || config->env_count > UPSTREAM_ENV_MAX)
        return mn_arena_format(arena, "at most %d arguments and %d variables", UPSTREAM_ARGV_MAX,
                               UPSTREAM_ENV_MAX);
    if (config->argv[0].size == 0) return "the command is empty";
    for (uint32_t i = 0; i < config->argv_count; i++)
        if (!upstream_config_is_clean(config->argv[i], false))
            return "the command line has a NUL character";
    for (uint32_t i = 0; i < config->env_count; i++) {
        struct mn_span name = config->env[i].name;
        if (name.size == 0 || memchr(name.data, '=', name.size) != NULL ||
            !upstream_config_is_clean(name, true))
            return "env: a variable's name is empty, or has '=' or a control character in it";
        if (!upstream_config_is_clean(config->env[i].value, false))
            return mn_arena_format(arena, "env: the value of %.*s has a NUL character",
                                   (int)name.size, (const char *)name.data);
    }
    if (!upstream_config_is_clean(config->cwd, false)) return "cwd has a NUL character";
    if (config->headers_count > 0) return "headers belong to a url, not to a command";
    return NULL;
}

/* After the last colon of HOST:PORT; [::1] has colons of its own. */
static bool upstream_config_has_good_port(struct mn_span authority)
{
    size_t at = authority.size;
    uint32_t port = 0;

    while (at > 0 && authority.data[at - 1] != ':' && authority.data[at - 1] != ']')
        at--;
    if (at == 0 || authority.data[at - 1] == ']') return at == 0 || at == authority.size;
    if (at == authority.size || authority.size - at > 5) return false;
    for (; at < authority.size; at++) {
        if (authority.data[at] < '0' || authority.data[at] > '9') return false;
        port = 10 * port + (authority.data[at] - '0');
    }
    return port >= 1 && port <= 65535;
}

static config_fault upstream_config_check_url(struct mn_span url)
{
    size_t scheme = upstream_config_has_prefix(url, "http://")    ? 7
                    : upstream_config_has_prefix(url, "https://") ? 8
                                                                  : 0;
    if (scheme == 0) return "the url must begin with http:// or https://";
    if (url.size > UPSTREAM_URL_MAX) return "the url is longer than 8192 bytes";
    size_t end = scheme;
    while (end < url.size && strchr("/?", url.data[end]) == NULL)
        end++;
    if (end == scheme || url.data[scheme] == ':') return "the url names no host";
    if (memchr(url.data + scheme, '@', end - scheme) != NULL)
        return "the url holds a user or password; use headers: {\"Authorization\": ...}";
    if (!upstream_config_has_good_port(mn_span(url.data + scheme, end - scheme)))
        return "the url's port is not a number from 1 to 65535";
    for (size_t i = 0; i < url.size; i++)
        if (url.data[i] <= 0x20 || url.data[i] >= 0x7f)
            return "the url has a blank, a control or a non-ASCII character; percent-encode it";
    if (memchr(url.data, '#', url.size) != NULL) return "the url has a fragment (#...)";
    return NULL;
}

static void upstream_config_lower(uint8_t *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] >= 'A' && text[i] <= 'Z') text[i] |= 0x20;
}

/* A copy in lower case, with a NUL after it. */
static struct mn_span upstream_config_lowered(struct mn_span text, struct mn_arena *arena)
{
    uint8_t *lower = mn_arena_alloc(arena, text.size + 1);

    if (text.size > 0) memcpy(lower, text.data, text.size);
    lower[text.size] = 0;
    upstream_config_lower(lower, text.size);
    return mn_span(lower, text.size);
}

/* Headers that we make anew for every request. */
static bool upstream_config_is_ours(struct mn_span lower)
{
    static const char *const names[] = {"accept",         "connection", "content-length",
                                        "content-type",   "expect",     "host",
                                        "last-event-id",  "te",         "transfer-encoding",
                                        "meshnode-trail", "upgrade",    "keep-alive"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (mn_span_is(lower, names[i])) return true;
    return upstream_config_has_prefix(lower, "mcp-");
}

static config_fault upstream_config_check_http(const struct upstream_config *config,
                                               struct mn_arena *arena)
{
    config_fault fault = upstream_config_check_url(config->url);

    if (fault != NULL) return fault;
    if (config->env_count > 0 || config->cwd.size > 0)
        return "env and cwd belong to a command, not to a url";
    if (config->headers_count > UPSTREAM_ENV_MAX)
        return mn_arena_format(arena, "at most %d headers", UPSTREAM_ENV_MAX);
    for (uint32_t i = 0; i < config->headers_count; i++) {
        struct mn_span name = config->headers[i].name;
        if (!upstream_config_is_token(name))
            return mn_arena_format(arena, "headers: name number %u is not a header name", i + 1);
        if (upstream_config_is_ours(upstream_config_lowered(name, arena)))
            return mn_arena_format(arena, "headers: %.*s is set by the node itself", (int)name.size,
                                   (const char *)name.data);
        if (!upstream_config_is_clean(config->headers[i].value, true))
            return mn_arena_format(arena, "headers: the value of %.*s has a control character",
                                   (int)name.size, (const char *)name.data);
    }
    return NULL;
}

static config_fault upstream_config_fault(const struct upstream_config *config,
                                          struct mn_arena *arena)
{
    if (!upstream_config_is_name(config->name))
        return "a server's name has 1 to 64 characters out of A-Z a-z 0-9 _ -";
    if (mn_span_is(config->name, CALL_NAME_MESH))
        return "the name \"mesh\" is the mesh's own; choose another";
    if (config->argv_count > 0 && config->url.size > 0) return "give a command or a url, not both";
    if (config->argv_count == 0 && config->url.size == 0) return "give a command or a url";
    if (config->probe_timeout > UPSTREAM_TIMEOUT_MAX ||
        config->handshake_timeout > UPSTREAM_TIMEOUT_MAX ||
        config->call_timeout > UPSTREAM_TIMEOUT_MAX)
        return "a timeout is longer than a day";
    if (config->tools_count > UPSTREAM_ENV_MAX)
        return mn_arena_format(arena, "at most %d names in tools", UPSTREAM_ENV_MAX);
    if (upstream_config_size(config) > UPSTREAM_CONFIG_MAX)
        return mn_arena_format(arena, "all its texts together are longer than %d bytes",
                               UPSTREAM_CONFIG_MAX);
    return config->argv_count > 0 ? upstream_config_check_child(config, arena)
                                  : upstream_config_check_http(config, arena);
}

mn_status upstream_config_check(const struct upstream_config *config, struct mn_arena *arena,
                                struct mn_span *why)
{
    config_fault fault = upstream_config_fault(config, arena);

    if (fault == NULL) return MN_OK;
    *why = mn_span_str(fault);
    return MN_CONFIG;
}

/* Where a copy is put: texts grow from the front of one block. */
static struct mn_span upstream_config_put(uint8_t **at, struct mn_span text)
{
    uint8_t *to = *at;

    if (text.size > 0) memcpy(to, text.data, text.size);
    to[text.size] = 0;
    *at += text.size + 1;
    return mn_span(to, text.size);
}

static void upstream_config_put_spans(uint8_t **at, struct mn_span *to, const struct mn_span *from,
                                      uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        to[i] = upstream_config_put(at, from[i]);
}

static void upstream_config_put_pairs(uint8_t **at, struct edge_header *to,
                                      const struct edge_header *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        to[i].name = upstream_config_put(at, from[i].name);
        to[i].value = upstream_config_put(at, from[i].value);
    }
}

struct upstream_config *upstream_config_copy(const struct upstream_config *config)
{
    size_t spans_count = config->argv_count + config->tools_count;
    size_t pairs_count = config->env_count + config->headers_count;
    struct upstream_config *copy =
        mn_alloc(sizeof *copy + spans_count * sizeof(struct mn_span) +
                 pairs_count * sizeof(struct edge_header) + upstream_config_size(config));
    struct mn_span *spans = (struct mn_span *)(copy + 1);
    struct edge_header *pairs = (struct edge_header *)(spans + spans_count);
    uint8_t *at = (uint8_t *)(pairs + pairs_count);

    *copy = *config;
    copy->argv = spans;
    upstream_config_put_spans(&at, spans, config->argv, config->argv_count);
    spans += config->argv_count;
    copy->tools = spans;
    upstream_config_put_spans(&at, spans, config->tools, config->tools_count);
    copy->env = pairs;
    upstream_config_put_pairs(&at, pairs, config->env, config->env_count);
    pairs += config->env_count;
    copy->headers = pairs;
    for (uint32_t i = 0; i < config->headers_count; i++) {
        /* Names go out in lower case, like everywhere at the edge. */
        uint8_t *name = at;
        pairs[i].name = upstream_config_put(&at, config->headers[i].name);
        upstream_config_lower(name, pairs[i].name.size);
        pairs[i].value = upstream_config_put(&at, config->headers[i].value);
    }
    copy->name = upstream_config_put(&at, config->name);
    copy->cwd = upstream_config_put(&at, config->cwd);
    copy->url = upstream_config_put(&at, config->url);
    return copy;
}

static bool upstream_config_equal_spans(const struct mn_span *a, uint32_t a_count,
                                        const struct mn_span *b, uint32_t b_count)
{
    if (a_count != b_count) return false;
    for (uint32_t i = 0; i < a_count; i++)
        if (!mn_span_equal(a[i], b[i])) return false;
    return true;
}

static bool upstream_config_equal_name(struct mn_span a, struct mn_span b)
{
    if (a.size != b.size) return false;
    for (size_t i = 0; i < a.size; i++) {
        uint8_t pair[2] = {a.data[i], b.data[i]};
        upstream_config_lower(pair, 2);
        if (pair[0] != pair[1]) return false;
    }
    return true;
}

/* Header names are the same in either case; names of variables are not. */
static bool upstream_config_equal_pairs(const struct edge_header *a, uint32_t a_count,
                                        const struct edge_header *b, uint32_t b_count,
                                        bool is_header)
{
    if (a_count != b_count) return false;
    for (uint32_t i = 0; i < a_count; i++) {
        bool is_same = is_header ? upstream_config_equal_name(a[i].name, b[i].name)
                                 : mn_span_equal(a[i].name, b[i].name);
        if (!is_same || !mn_span_equal(a[i].value, b[i].value)) return false;
    }
    return true;
}

bool upstream_config_equal(const struct upstream_config *a, const struct upstream_config *b)
{
    return mn_span_equal(a->name, b->name) && mn_span_equal(a->cwd, b->cwd) &&
           mn_span_equal(a->url, b->url) && a->era == b->era && a->is_replica == b->is_replica &&
           a->is_uniform == b->is_uniform && a->probe_timeout == b->probe_timeout &&
           a->handshake_timeout == b->handshake_timeout && a->call_timeout == b->call_timeout &&
           upstream_config_equal_spans(a->argv, a->argv_count, b->argv, b->argv_count) &&
           upstream_config_equal_spans(a->tools, a->tools_count, b->tools, b->tools_count) &&
           upstream_config_equal_pairs(a->env, a->env_count, b->env, b->env_count, false) &&
           upstream_config_equal_pairs(a->headers, a->headers_count, b->headers, b->headers_count,
                                       true);
}

void upstream_config_replica_key(const struct upstream_config *config, uint8_t ret[CALL_KEY_SIZE])
{
    struct digest digest;

    memset(ret, 0, CALL_KEY_SIZE);
    if (config->url.size == 0 && !config->is_replica) return;
    digest_begin(&digest, DIGEST_REPLICA, CALL_KEY_SIZE);
    digest_variable(&digest, mn_span_str(config->is_replica ? "replica" : "url"));
    digest_variable(&digest, config->is_replica ? config->name : config->url);
    digest_end(&digest, ret);
}

/* Words after which, on a command line, a secret stands. */
static bool upstream_config_is_secret(struct mn_span word)
{
    static const char *const names[] = {"token",  "secret",  "passw",     "api-key",
                                        "apikey", "api_key", "bearer",    "authorization",
                                        "header", "auth",    "credential"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strstr((const char *)word.data, names[i]) != NULL) return true;
    return false;
}

/* One word of a command line. Returns true when the next one is its value, and secret. */
static bool upstream_config_show_word(struct mn_writer *writer, struct mn_span word,
                                      struct mn_arena *arena)
{
    struct mn_span lower = upstream_config_lowered(word, arena);
    const char *at = strchr((const char *)lower.data, '@');
    const char *scheme = strstr((const char *)lower.data, "://");
    bool is_secret = upstream_config_is_secret(lower);
    size_t shown = word.size;

    if (scheme != NULL && at != NULL && at > scheme) {
        shown = (size_t)(scheme - (const char *)lower.data) + 3; /* user and password in a URL */
    } else if (is_secret) {
        size_t split = strcspn((const char *)lower.data, "=:");
        if (split < word.size) shown = split + 1;
    }
    mn_writer_add(writer, mn_span(word.data, shown));
    if (shown < word.size) mn_writer_str(writer, "***");
    return is_secret && shown == word.size && lower.data[0] == '-';
}

struct mn_span upstream_config_target(const struct upstream_config *config, struct mn_arena *arena)
{
    struct mn_writer writer = {0};
    bool is_secret = false;

    if (config->url.size > 0) {
        const uint8_t *query = memchr(config->url.data, '?', config->url.size);
        size_t size = query == NULL ? config->url.size : (size_t)(query - config->url.data);
        return mn_arena_copy(arena, mn_span(config->url.data, size));
    }
    for (uint32_t i = 0; i < config->argv_count; i++) {
        struct mn_span word = is_secret ? mn_span_str("***") : config->argv[i];
        if (i > 0) mn_writer_str(&writer, " ");
        is_secret = upstream_config_show_word(&writer, word, arena);
    }
    struct mn_span target = mn_arena_copy(arena, mn_buf_span(writer.buf));
    mn_writer_drop(&writer);
    return target;
}

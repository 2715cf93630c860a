#include <sodium.h>

#include "crypto/digest.h"
#include "node/guard_internal.h"

mn_id guard_principal(const char *kind, struct mn_span subject)
{
    struct digest digest;
    mn_id principal;

    digest_begin(&digest, DIGEST_PRINCIPAL, sizeof principal.bytes);
    digest_variable(&digest, mn_span_str(kind));
    digest_variable(&digest, mn_span(NULL, 0)); /* no issuer */
    digest_variable(&digest, subject);
    digest_end(&digest, principal.bytes);
    return principal;
}

mn_id guard_principal_uid(uint32_t uid)
{
    uint8_t subject[4];

    mn_store_u32(subject, uid);
    return guard_principal("uid", mn_span(subject, sizeof subject));
}

void guard_hash(struct mn_span secret, uint8_t ret[GUARD_HASH_SIZE])
{
    struct digest digest;

    digest_begin(&digest, DIGEST_BEARER, GUARD_HASH_SIZE);
    digest_variable(&digest, secret);
    digest_end(&digest, ret);
}

struct guard *guard_new(const struct mn_span *hosts, uint32_t hosts_count,
                        const struct mn_span *bearers, uint32_t bearers_count)
{
    struct guard *guard = mn_alloc(sizeof *guard);

    guard->hosts = mn_alloc(hosts_count * sizeof *guard->hosts);
    for (uint32_t i = 0; i < hosts_count; i++)
        guard->hosts[i] = mn_arena_copy(&guard->arena, hosts[i]);
    guard->hosts_count = hosts_count;
    guard->bearers = mn_alloc(bearers_count * sizeof *guard->bearers);
    for (uint32_t i = 0; i < bearers_count; i++) {
        struct guard_bearer *bearer = &guard->bearers[i];
        guard_hash(bearers[i], bearer->hash);
        bearer->principal = guard_principal("token", mn_span(bearer->hash, GUARD_HASH_SIZE));
    }
    guard->bearers_count = bearers_count;
    guard_tokens_init(guard);
    guard->anonymous = guard_principal("anon", mn_span(NULL, 0));
    return guard;
}

void guard_free(struct guard *guard)
{
    if (guard == NULL) return;
    sodium_memzero(guard->bearers, guard->bearers_count * sizeof *guard->bearers);
    mn_free(guard->bearers);
    guard_tokens_done(guard);
    mn_free(guard->hosts);
    mn_arena_done(&guard->arena);
    mn_free(guard);
}

static uint8_t guard_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

bool guard_equal_name(struct mn_span a, struct mn_span b)
{
    if (a.size != b.size) return false;
    for (size_t i = 0; i < a.size; i++)
        if (guard_lower(a.data[i]) != guard_lower(b.data[i])) return false;
    return true;
}

/* "name:port", "[::1]:port" or the same without a port. False: something else. */
static bool guard_split(struct mn_span host, struct mn_span *name, struct mn_span *port)
{
    size_t end = 0;

    if (host.size > 0 && host.data[0] == '[') {
        const uint8_t *bracket = memchr(host.data, ']', host.size);
        if (bracket == NULL) return false;
        end = (size_t)(bracket - host.data) + 1;
    } else {
        while (end < host.size && host.data[end] != ':')
            end++;
    }
    *name = mn_span(host.data, end);
    *port = mn_span(NULL, 0);
    if (end == host.size) return end > 0;
    if (host.data[end] != ':') return false;
    *port = mn_span(host.data + end + 1, host.size - end - 1);
    for (size_t i = 0; i < port->size; i++)
        if (port->data[i] < '0' || port->data[i] > '9') return false;
    return end > 0 && port->size > 0;
}

static bool guard_allows_host(const struct guard *guard, struct mn_span host)
{
    static const char *const local[] = {"localhost", "127.0.0.1", "[::1]"};
    struct mn_span name, port, own_name, own_port;

    if (!guard_split(host, &name, &port)) return false;
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if (guard_equal_name(name, mn_span_str(local[i]))) return true;
    for (uint32_t i = 0; i < guard->hosts_count; i++) {
        if (!guard_split(guard->hosts[i], &own_name, &own_port)) continue;
        if (!guard_equal_name(name, own_name)) continue;
        if (own_port.size == 0 || mn_span_equal(port, own_port)) return true;
    }
    return false;
}

static bool guard_allows_origin(const struct guard *guard, struct mn_span origin)
{
    static const char *const schemes[] = {"http://", "https://"};

    if (origin.data == NULL) return true;
    for (size_t i = 0; i < 2; i++) {
        struct mn_span scheme = mn_span_str(schemes[i]);
        if (origin.size < scheme.size) continue;
        if (!guard_equal_name(mn_span(origin.data, scheme.size), scheme)) continue;
        return guard_allows_host(guard,
                                 mn_span(origin.data + scheme.size, origin.size - scheme.size));
    }
    return false; /* "null" of sandboxed pages, and other schemes */
}

static bool guard_is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

struct mn_span guard_trim(struct mn_span text)
{
    while (text.size > 0 && guard_is_blank(text.data[0]))
        text = mn_span(text.data + 1, text.size - 1);
    while (text.size > 0 && guard_is_blank(text.data[text.size - 1]))
        text.size--;
    return text;
}

struct mn_span guard_header(const struct edge_http_request *http, const char *name)
{
    const struct mn_span wanted = mn_span_str(name);

    for (uint32_t i = 0; i < http->headers_count; i++)
        if (mn_span_equal(http->headers[i].name, wanted)) return guard_trim(http->headers[i].value);
    return mn_span(NULL, 0);
}

const char *guard_refusal(const struct guard *guard, const struct edge_http_request *http)
{
    if (http->listener == EDGE_LISTENER_ADMIN) return NULL;
    if (!guard_allows_host(guard, guard_header(http, "host")))
        return "Host names another machine; add its name to http.hosts";
    for (uint32_t i = 0; i < http->headers_count; i++)
        if (mn_span_is(http->headers[i].name, "origin") &&
            !guard_allows_origin(guard, guard_trim(http->headers[i].value)))
            return "Origin is not allowed; add its host to http.hosts";
    return NULL;
}

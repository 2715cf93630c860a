#include "node/mcp/names/names_route.h"

#include "node/mcp/wire/effort.h"
#include "node/mcp/wire/uritemplate.h"
#include "proto/call.h"

#define LOOKUP_EFFORT 16     /* of one in a table */
#define SCHEME_PER_EFFORT 64 /* bytes, which are compared all at once */

static void names_route_add(struct names_route *route, struct names_service *service)
{
    for (uint32_t i = 0; i < route->count; i++)
        if (route->services[i] == service) return;
    if (route->count < NAMES_CANDIDATES_MAX) route->services[route->count++] = service;
}

/* meshnode://SERVICE/URI or ui://meshnode/SERVICE/URI. True: it was of that form. */
static bool names_route_long(struct names *names, struct mn_span uri, struct names_route *route)
{
    static const char *const prefixes[] = {NAMES_URI_PREFIX, NAMES_UI_PREFIX};
    struct names_service *service;
    const uint8_t *slash;
    struct mn_span rest;
    size_t prefix_size = 0;

    for (int i = 0; i < 2 && prefix_size == 0; i++)
        if (uri.size > strlen(prefixes[i]) &&
            memcmp(uri.data, prefixes[i], strlen(prefixes[i])) == 0)
            prefix_size = strlen(prefixes[i]);
    if (prefix_size == 0) return false;
    rest = mn_span(uri.data + prefix_size, uri.size - prefix_size);
    slash = memchr(rest.data, '/', rest.size);
    if (slash == NULL) return false;
    service = names_service(names, mn_span(rest.data, (size_t)(slash - rest.data)));
    if (service == NULL || service->is_conflict) return true;
    names_route_add(route, service);
    route->own = mn_span(slash + 1, rest.size - (size_t)(slash + 1 - rest.data));
    return true;
}

/* Whoever lists it. True: somebody does. */
static bool names_route_listed(struct names *names, enum names_kind kind, struct mn_span own,
                               size_t *effort, struct names_route *route)
{
    struct mn_map_entry *entry = mn_map_find(&names->tables[kind], own);
    struct names_item *item;

    if (entry == NULL) return false;
    item = MN_CONTAINER(entry, struct names_item, by_exposed);
    route->is_ambiguous = item->is_ambiguous;
    if (!item->is_ambiguous) {
        names_route_add(route, item->service);
        return true;
    }
    for (uint32_t i = 0; i < names->services.count && effort_take(effort, LOOKUP_EFFORT); i++)
        if (names->sorted[i]->is_listed &&
            mn_map_find(&names->sorted[i]->by_own[kind], own) != NULL)
            names_route_add(route, names->sorted[i]);
    return true;
}

static void names_route_matching(struct names *names, struct mn_span uri, size_t *effort,
                                 struct names_route *route)
{
    struct names_item **items;
    uint32_t count = names_listed(names, NAMES_TEMPLATES, &items), best = 0, literals;

    for (uint32_t i = 0; i < count && effort_take(effort, 0); i++) {
        if (!uritemplate_match(items[i]->own, uri, &literals, effort)) continue;
        if (route->count > 0 && literals < best) continue;
        if (literals > best) route->count = 0;
        best = literals;
        names_route_add(route, items[i]->service);
    }
}

static bool names_route_has_scheme(const struct names_service *service, struct mn_span scheme,
                                   size_t *effort)
{
    for (int kind = NAMES_RESOURCES; kind <= NAMES_TEMPLATES; kind++)
        for (uint32_t i = 0; i < service->counts[kind] && effort_take(effort, 1); i++) {
            struct mn_span own = service->items[kind][i].own;
            if (own.size < scheme.size || !effort_take(effort, scheme.size / SCHEME_PER_EFFORT))
                continue;
            if (memcmp(own.data, scheme.data, scheme.size) == 0) return true;
        }
    return false;
}

static void names_route_guess_all(struct names *names, struct mn_span scheme, size_t *effort,
                                  struct names_route *route)
{
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < names->services.count && effort_take(effort, 1); i++) {
            struct names_service *service = names->sorted[i];
            if (!service->is_listed || !service->has[NAMES_RESOURCES]) continue;
            if (mn_span_is(service->name, CALL_NAME_MESH)) continue; /* it lists all it has */
            if (pass == 0 && (scheme.size == 0 || !names_route_has_scheme(service, scheme, effort)))
                continue;
            names_route_add(route, service);
        }
}

/* Texts with many links mostly have them of one scheme: the newest guess is remembered. */
static void names_route_guess(struct names *names, struct mn_span uri, size_t *effort,
                              struct names_route *route)
{
    const uint8_t *colon = uri.size == 0 ? NULL : memchr(uri.data, ':', uri.size);
    struct mn_span scheme = mn_span(uri.data, colon == NULL ? 0 : (size_t)(colon + 1 - uri.data));
    struct names_guess *guess = &names->guess;

    if (scheme.size > 0 && mn_span_equal(scheme, mn_span(guess->scheme, guess->scheme_size))) {
        memcpy(route->services, guess->services, sizeof guess->services);
        route->count = guess->services_count;
        return;
    }
    names_route_guess_all(names, scheme, effort, route);
    if (scheme.size == 0 || scheme.size > NAMES_SCHEME_MAX || *effort == 0) return;
    memcpy(guess->scheme, scheme.data, scheme.size);
    guess->scheme_size = scheme.size;
    memcpy(guess->services, route->services, sizeof guess->services);
    guess->services_count = route->count;
}

void names_route_within(struct names *names, struct mn_span uri, size_t *effort,
                        struct names_route *ret)
{
    *ret = (struct names_route){.own = uri};
    names_service(names, uri); /* brings the tables up to date */
    effort_take(effort, LOOKUP_EFFORT);
    if (names_route_long(names, uri, ret)) return;
    if (names_route_listed(names, NAMES_RESOURCES, uri, effort, ret)) return;
    if (names_route_listed(names, NAMES_UI, uri, effort, ret)) return;
    names_route_matching(names, uri, effort, ret);
    if (ret->count > 0) return;
    names_route_guess(names, uri, effort, ret);
}

void names_route_uri(struct names *names, struct mn_span uri, struct names_route *ret)
{
    size_t any = SIZE_MAX;

    names_route_within(names, uri, &any, ret);
}

void names_route_template(struct names *names, struct mn_span uri, struct names_route *ret)
{
    size_t any = SIZE_MAX;

    *ret = (struct names_route){.own = uri};
    names_service(names, uri);
    if (names_route_long(names, uri, ret)) return;
    if (names_route_listed(names, NAMES_TEMPLATES, uri, &any, ret)) return;
    names_route_uri(names, uri, ret);
}

void names_route_known(struct names *names, struct mn_span uri, struct names_route *ret)
{
    size_t none = 0; /* for who else lists it */

    *ret = (struct names_route){.own = uri};
    names_service(names, uri);
    if (names_route_long(names, uri, ret)) return;
    if (names_route_listed(names, NAMES_RESOURCES, uri, &none, ret)) return;
    names_route_listed(names, NAMES_UI, uri, &none, ret);
}

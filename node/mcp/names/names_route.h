/* names_route.h: who serves a URI that a client of /mcp asks for. In this order:
 *
 *   meshnode://SERVICE/URI   that service, listed or not; for ui:// ui://meshnode/SERVICE/URI
 *   a listed resource        its owner; several owners: nobody, ask for the long form
 *   a ui:// resource         the service whose tool names it
 *   the template with most literal characters that matches (RFC 6570); several services: each
 *   anything else            every listed service with resources, those first that list something
 *                            of the same scheme; then by name
 *
 * Where several services come out, they are asked one after the other until one knows the URI. */
#ifndef NAMES_ROUTE_H
#define NAMES_ROUTE_H

#include "node/mcp/names/names.h"

struct names_route {
    struct names_service *services[NAMES_CANDIDATES_MAX];
    uint32_t count;     /* 0: nobody */
    struct mn_span own; /* the URI as these services know it; part of the one asked for */
    bool is_ambiguous;  /* several services list it: services has them, none shall be asked */
};

void names_route_uri(struct names *names, struct mn_span uri, struct names_route *ret);

/* The same with no more than [effort] (effort.h): when nothing of that is left, [ret] is not what
 * it should be. */
void names_route_within(struct names *names, struct mn_span uri, size_t *effort,
                        struct names_route *ret);

/* The same for a template as a completion names it: long form, listed template, else as a URI. */
void names_route_template(struct names *names, struct mn_span uri, struct names_route *ret);

/* Nobody but the one service that is known to have it, for its long form names that or no other one
 * lists it; no guess. Takes no longer where there are many services. */
void names_route_known(struct names *names, struct mn_span uri, struct names_route *ret);

#endif

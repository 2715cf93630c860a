/* Links to resources in what a server says at /mcp and views. A client reads there what it is shown
 * a link to; where that would be another server's, or nobody could tell whose (or not with little
 * effort, for a result may have hundreds of thousands), the link gets the long form, which says it.
 */
#include "node/mcp/front/front_parts.h"
#include "node/mcp/names/names_route.h"

/* Clients fetch these from the web by themselves. */
static bool links_is_web(struct mn_span uri)
{
    return (uri.size > 7 && memcmp(uri.data, "http://", 7) == 0) ||
           (uri.size > 8 && memcmp(uri.data, "https://", 8) == 0);
}

/* Whose links they are; NULL: nobody's that could be read here. */
static struct names_service *links_service(struct front *front, const struct front_call *call)
{
    struct names_service *service;

    if (!call->is_aggregated || (call->session == NULL && call->exchange == NULL)) return NULL;
    service = names_service(&front->names, call->service);
    return service == NULL || !service->has[NAMES_RESOURCES] ? NULL : service;
}

bool front_links_are_ours(struct front *front, const struct front_call *call)
{
    return links_service(front, call) != NULL;
}

bool front_links_lead(struct front *front, const struct front_call *call, struct mn_span uri,
                      size_t *effort)
{
    struct names_service *service = links_service(front, call);
    struct names_route route;

    if (service == NULL || links_is_web(uri)) return true;
    if (*effort == 0) return false;
    front_route_within(front,
                       call->session != NULL ? call->session->service : call->exchange->service,
                       uri, effort, &route);
    if (*effort == 0 || route.is_ambiguous) return false;
    if (route.count == 0) return !names_is_long(uri); /* another mesh's, which can be read there */
    return route.services[0] == service;
}

/* The servers that a session called, each at a node; and roots that change. A client of the legacy
 * era says so once; every server that may have asked for them wants to hear: each of these is told
 * by a call whose answer nobody waits for. */
#include "node/mcp/front/front_parts.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

#define METHOD "notifications/roots/list_changed"
#define TIMEOUT (10 * MN_SEC)

struct server {
    struct mn_list in_session;
    mn_id node;
    struct mn_span service;
};

static void server_free(struct front_session *session, struct server *server)
{
    mn_list_remove(&server->in_session);
    session->servers_count--;
    mn_free(server);
}

bool front_roots_note(struct front_session *session, struct mn_span service, const mn_id *node)
{
    struct server *server;

    if (mn_id_is_zero(node)) return false;
    MN_LIST_FOR_EACH (link, &session->servers) {
        server = MN_CONTAINER(link, struct server, in_session);
        if (mn_id_equal(&server->node, node) && mn_span_equal(server->service, service))
            return false;
    }
    if (session->servers_count >= FRONT_SERVERS_MAX)
        server_free(session, MN_CONTAINER(session->servers.next, struct server, in_session));
    server = mn_alloc(sizeof *server + service.size);
    server->node = *node;
    server->service = mn_span(server + 1, service.size);
    memcpy(server + 1, service.data, service.size);
    mn_list_push_back(&session->servers, &server->in_session);
    session->servers_count++;
    return true;
}

bool front_roots_has(const struct front_session *session, struct mn_span service)
{
    MN_LIST_FOR_EACH (link, &session->servers)
        if (mn_span_equal(MN_CONTAINER(link, struct server, in_session)->service, service))
            return true;
    return false;
}

void *front_roots_next(const struct front_session *session, void *at, struct mn_span *service,
                       mn_id *node)
{
    struct mn_list *link = at == NULL ? session->servers.next : ((struct mn_list *)at)->next;
    const struct server *server = MN_CONTAINER(link, struct server, in_session);

    if (link == &session->servers) return NULL;
    *service = server->service;
    *node = server->node;
    return link;
}

void front_roots_changed(struct front *front, struct front_session *session)
{
    Meshnode__Gateway__Request request = MESHNODE__GATEWAY__REQUEST__INIT;
    struct call_outbox *calls = front->outbox->calls;
    char method[] = METHOD;

    request.method = method;
    request.params = pb_bytes(mn_span_str("{}"));
    request.session = pb_bytes(mn_span(session->alias, sizeof session->alias));
    request.client_capabilities = pb_bytes(session->client_capabilities);
    request.principal = pb_id_bytes(&session->principal);
    MN_LIST_FOR_EACH (link, &session->servers) {
        const struct server *server = MN_CONTAINER(link, struct server, in_session);
        call_emit(calls, CALL_MESSAGE_REQUEST)->request = (struct call_request){
            .ticket = ++front->ticket_last,
            .service = mn_arena_copy(calls->arena, server->service),
            .payload = pb_pack(&request.base),
            .timeout = TIMEOUT,
            .timeout_total = TIMEOUT,
            .node = server->node,
        };
    }
}

void front_roots_done(struct front_session *session)
{
    while (!mn_list_is_empty(&session->servers))
        server_free(session, MN_CONTAINER(session->servers.next, struct server, in_session));
}

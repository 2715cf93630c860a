/* Legacy sessions of talking clients, as the world sees them. A node that says that it knows no
 * such session is right only if nobody whom it could ask has its record: those that are up, and
 * that nothing has kept from it for a while, are looked at themselves. A clock that is far off
 * keeps its node from all others, as a cut does: their grants are of its future, or at their end.
 */
#include "sim/scenarios/talks.h"

#include "crypto/sealed.h"

/* Nodes find each other again within that time after whatever was wrong between them, and who then
 * looks for a record has asked all of them. */
#define SOUND_TIME (12 * MN_SEC)

static bool is_sound(const struct sim_host *host)
{
    return host->node != NULL && !host->is_stopping &&
           host->started + SOUND_TIME <= host->sim->time &&
           !sim_host_was_frozen(host, SOUND_TIME) && !sim_host_was_astray(host, SOUND_TIME);
}

static bool keeps(const struct sim_host *host, const char *session)
{
    return mcp_keeps_session(node_mcp(host->node), mn_span_str(session));
}

bool talk_session_is_of_one_node(const char *session)
{
    struct sealed_header header;

    return sealed_peek(mn_span_str(session), SEALED_SESSION, &header) == MN_OK &&
           header.key_id == 0;
}

void talk_judge_unknown(struct sim *sim, struct sim_host *host, const char *session)
{
    if (session[0] == '\0' || host->node == NULL || talk_session_is_of_one_node(session)) return;
    if (keeps(host, session))
        sim_fail(sim, "%s has the record of a session that it says it does not know", host->name);
    for (uint32_t i = 0; i < sim->hosts_count; i++) {
        const struct sim_host *other = &sim->hosts[i];
        if (other == host || !is_sound(host) || !is_sound(other) ||
            !sim_net_was_sound(host, other, SOUND_TIME) || !keeps(other, session))
            continue;
        sim_fail(sim, "%s says that it does not know a session whose record %s has", host->name,
                 other->name);
    }
}

static void session_ended(struct sim *sim, void *context, const struct sim_response *response)
{
    (void)sim;
    (void)context;
    (void)response;
}

void talk_delete_session(struct sim_host *host, const char *session)
{
    if (session[0] == '\0' || host == NULL || host->node == NULL) return;
    sim_http_ask(host, &(struct sim_request){.verb = "DELETE",
                                             .session = session,
                                             .patience = MN_MINUTE,
                                             .is_steadfast = true,
                                             .on_end = session_ended});
}

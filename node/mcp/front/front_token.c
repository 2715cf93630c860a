/* What clients opened with an API token ends with it. A request is judged when it comes; what lasts
 * beyond that (streams, calls under way, sessions) is judged again each second, as long as there is
 * any of it. */
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"

#define JUDGE_PERIOD MN_SEC

void front_token_use(struct front *front, bool has_token)
{
    if (!has_token) return;
    front->tokens_used++;
    front->judge_at = mn_time_min(front->judge_at, mn_time_after(front->now.mono, JUDGE_PERIOD));
}

static void token_judge_exchanges(struct front *front)
{
    struct mn_map_entry *entry = mn_map_next(&front->exchanges, NULL);

    while (entry != NULL) {
        struct front_exchange *exchange = MN_CONTAINER(entry, struct front_exchange, by_id);
        entry = mn_map_next(&front->exchanges, entry);
        if (exchange->has_token && !guard_has_token(front->guard, front->now, &exchange->principal))
            front_http_expel(front, exchange);
    }
}

/* After its exchanges: none of them waits for what the session ends. */
static void token_judge_sessions(struct front *front)
{
    struct mn_map_entry *entry = mn_map_next(&front->sessions, NULL);

    while (entry != NULL) {
        struct front_session *session = MN_CONTAINER(entry, struct front_session, by_id);
        entry = mn_map_next(&front->sessions, entry);
        if (!session->has_token || guard_has_token(front->guard, front->now, &session->principal))
            continue;
        front_record_end(front, session);
        front_legacy_end(front, session, "its API token has ended");
    }
}

void front_token_on_time(struct front *front)
{
    uint64_t ends;

    if (front->judge_at > front->now.mono) return;
    front->judge_at = MN_TIME_NEVER;
    ends = guard_ends(front->guard, front->now);
    if (ends != front->ends_seen) {
        token_judge_exchanges(front);
        token_judge_sessions(front);
        front->ends_seen = ends;
    }
    if (front->tokens_used > 0) front->judge_at = mn_time_after(front->now.mono, JUDGE_PERIOD);
}

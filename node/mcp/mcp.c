#include "node/mcp/mcp.h"

#include <sodium.h>

#include "crypto/rng.h"
#include "node/mcp/front/front.h"
#include "node/mcp/wire/parsed.h"
#include "proto/base/check.h"

struct mcp {
    struct front *front;
    struct upstreams *upstreams;
    struct mcp_keys keys;
    struct parsed parsed; /* what the servers' half leaves for the clients' half */
};

struct mcp *mcp_new(const struct mcp_config *config)
{
    struct mcp *mcp = mn_alloc(sizeof *mcp);
    uint8_t seed[RNG_SEED_SIZE];
    struct mcp_config front = *config;
    struct upstreams_config upstreams = {.self = config->self,
                                         .mesh_id = &mcp->keys.ring.mesh_id,
                                         .seed = seed,
                                         .trace = config->trace,
                                         .parsed = &mcp->parsed};
    struct rng rng;

    rng_init(&rng, config->seed);
    front.seed = seed;
    front.keys = &mcp->keys;
    front.parsed = &mcp->parsed;
    rng_bytes(&rng, seed, sizeof seed);
    mcp->front = front_new(&front);
    rng_bytes(&rng, seed, sizeof seed);
    mcp->upstreams = upstreams_new(&upstreams);
    sodium_memzero(seed, sizeof seed);
    rng_done(&rng);
    return mcp;
}

void mcp_free(struct mcp *mcp)
{
    if (mcp == NULL) return;
    front_free(mcp->front);
    upstreams_free(mcp->upstreams);
    keyring_done(&mcp->keys.ring);
    parsed_done(&mcp->parsed);
    mn_free(mcp);
}

/* ---- keys ---- */

struct mcp_keys *mcp_keys(struct mcp *mcp)
{
    return &mcp->keys;
}

bool mcp_is_key(struct mn_span key)
{
    return front_record_is_key(key);
}

/* ---- steps ---- */

static bool mcp_is_for_front(const struct mcp_input *input)
{
    if (input->type == MCP_IN_NODES || input->type == MCP_IN_CARRIED ||
        input->type == MCP_IN_CURATION || input->type == MCP_IN_RECOVER)
        return true;
    if (input->type == MCP_IN_EDGE)
        return input->edge->type == EDGE_IN_HTTP_OPEN || input->edge->type == EDGE_IN_HTTP_BODY ||
               input->edge->type == EDGE_IN_HTTP_WRITABLE || input->edge->type == EDGE_IN_HTTP_GONE;
    return input->type == MCP_IN_CALL &&
           (input->call->type == CALL_MESSAGE_SERVICE || input->call->type == CALL_MESSAGE_EVENT);
}

static enum upstreams_input_type mcp_upstreams_type(enum mcp_input_type type)
{
    switch (type) {
    case MCP_IN_TICK: return UPSTREAMS_IN_TICK;
    case MCP_IN_EDGE: return UPSTREAMS_IN_EDGE;
    case MCP_IN_CALL: return UPSTREAMS_IN_CALL;
    case MCP_IN_KEYS: /* of mcp_step() itself */
    case MCP_IN_NODES:
    case MCP_IN_CURATION:
    case MCP_IN_RECOVER:
    case MCP_IN_CARRIED: break; /* of the front */
    case MCP_IN_STOP: return UPSTREAMS_IN_STOP;
    }
    MN_ASSERT(!"an input type of the list");
    return UPSTREAMS_IN_TICK;
}

void mcp_step(struct mcp *mcp, struct mn_now now, const struct mcp_input *input,
              struct mcp_outbox *outbox)
{
    struct upstreams_outbox upstreams_outbox = {outbox->edge, outbox->calls};
    struct upstreams_input upstreams_input = {.edge = input->edge, .call = input->call};
    bool is_for_both = input->type == MCP_IN_TICK || input->type == MCP_IN_STOP;

    if (input->type == MCP_IN_KEYS) {
        mcp->keys.ring = *input->keys;
        return;
    }
    if (is_for_both || mcp_is_for_front(input)) front_step(mcp->front, now, input, outbox);
    if (!is_for_both && mcp_is_for_front(input)) return;
    upstreams_input.type = mcp_upstreams_type(input->type);
    upstreams_step(mcp->upstreams, now, &upstreams_input, &upstreams_outbox);
}

mn_time mcp_deadline(const struct mcp *mcp)
{
    return mn_time_min(front_deadline(mcp->front), upstreams_deadline(mcp->upstreams));
}

void mcp_check(const struct mcp *mcp)
{
    front_check(mcp->front);
    upstreams_check(mcp->upstreams);
}

bool mcp_is_idle(const struct mcp *mcp)
{
    return front_is_idle(mcp->front) && upstreams_is_idle(mcp->upstreams);
}

mn_status mcp_server_add(struct mcp *mcp, struct mn_now now, const struct upstream_config *config,
                         struct mcp_outbox *outbox, struct mn_span *why)
{
    struct upstreams_outbox to = {outbox->edge, outbox->calls};
    return upstreams_add(mcp->upstreams, now, config, &to, why);
}

mn_status mcp_server_remove(struct mcp *mcp, struct mn_now now, struct mn_span name,
                            struct mcp_outbox *outbox, struct mn_span *why)
{
    struct upstreams_outbox to = {outbox->edge, outbox->calls};
    return upstreams_remove(mcp->upstreams, now, name, &to, why);
}

mn_status mcp_server_restart(struct mcp *mcp, struct mn_now now, struct mn_span name,
                             struct mcp_outbox *outbox, struct mn_span *why)
{
    struct upstreams_outbox to = {outbox->edge, outbox->calls};
    return upstreams_restart(mcp->upstreams, now, name, &to, why);
}

const struct upstreams *mcp_upstreams(const struct mcp *mcp)
{
    return mcp->upstreams;
}

static struct mcp_tool mcp_tool_of(struct mcp *mcp, struct mn_now now,
                                   const struct names_item *tool)
{
    struct usage_view usage = usage_get(front_usage(mcp->front), now.mono, tool->exposed);
    enum names_held held = names_is_held(front_names(mcp->front), tool->service->name, tool->own);

    return (struct mcp_tool){.name = tool->exposed,
                             .service = tool->service->name,
                             .tool = tool->own,
                             .definition = tool->definition,
                             .audience = tool->audience,
                             .held = held == NAMES_FREE ? NULL : names_held_name(held),
                             .providers_count = tool->service->providers_count,
                             .calls_per_minute = usage.calls_per_minute,
                             .p95 = usage.p95};
}

uint32_t mcp_tools_count(struct mcp *mcp)
{
    struct names_item **tools;
    return names_listed(front_names(mcp->front), NAMES_TOOLS, &tools);
}

void mcp_tool(struct mcp *mcp, struct mn_now now, uint32_t index, struct mcp_tool *ret)
{
    struct names_item **tools;
    uint32_t count = names_listed(front_names(mcp->front), NAMES_TOOLS, &tools);

    MN_ASSERT(index < count);
    *ret = mcp_tool_of(mcp, now, tools[index]);
}

mn_status mcp_tool_find(struct mcp *mcp, struct mn_now now, struct mn_span name,
                        struct mcp_tool *ret)
{
    const struct names_item *tool = names_tool(front_names(mcp->front), name);

    if (tool == NULL) return MN_NOT_FOUND;
    *ret = mcp_tool_of(mcp, now, tool);
    return MN_OK;
}

void mcp_stats(const struct mcp *mcp, struct mcp_stats *ret)
{
    front_stats(mcp->front, ret);
}

bool mcp_keeps_session(const struct mcp *mcp, struct mn_span id)
{
    return front_record_is_kept(mcp->front, id);
}

struct names *mcp_names(struct mcp *mcp)
{
    return front_names(mcp->front);
}

#include "mesh/gate.h"

#include "mesh/address.h"
#include "proto/base/check.h"
#include "proto/base/map.h"
#include "proto/base/memory.h"

#define TOKEN ((uint64_t)1000000) /* one knock or handshake; they fill by rate x microseconds */
#define RATE 10                   /* per second */
#define BURST 20
#define RATE_FAVOURED 100
#define RATE_ALL 200
#define KNOCKS 100
#define KNOCKS_FAVOURED 2000
#define KNOCKS_ALL 2000
#define BAN_MIN MN_MINUTE
#define BAN_MAX MN_HOUR
#define BAN_MEMORY MN_DAY /* a ban so old does not make the next one longer */

struct bucket {
    uint64_t tokens; /* in millionths */
    mn_time filled;  /* mono */
};

struct network {
    struct mn_map_entry entry; /* by [key] */
    struct mn_list age;        /* least recently seen first */
    uint8_t key[ADDRESS_NETWORK_SIZE];
    struct bucket bucket, knocks;
    uint32_t refusals;
    mn_time refusals_since, seen;
};

struct ban {
    mn_id node_id;
    mn_time until, length; /* length 0: a free row */
};

struct gate {
    struct mn_map networks;
    struct mn_list ages;
    struct network rest; /* all that the table has no room for */
    struct bucket all, knocks;
    struct ban bans[GATE_BANS_MAX];
};

struct gate *gate_new(uint64_t seed)
{
    struct gate *gate = mn_alloc(sizeof *gate);

    mn_map_init(&gate->networks, seed);
    mn_list_init(&gate->ages);
    gate->all.tokens = RATE_ALL * TOKEN;
    gate->knocks.tokens = KNOCKS_ALL * TOKEN;
    gate->rest.bucket.tokens = BURST * TOKEN;
    gate->rest.knocks.tokens = KNOCKS * TOKEN;
    return gate;
}

void gate_free(struct gate *gate)
{
    struct mn_list *entry;

    if (gate == NULL) return;
    while ((entry = mn_list_take(&gate->ages)) != NULL)
        mn_free(MN_CONTAINER(entry, struct network, age));
    mn_map_done(&gate->networks);
    mn_free(gate);
}

/* Takes a token; false: there are no more than [kept]. */
static bool bucket_take(struct bucket *bucket, struct mn_now now, uint64_t rate, uint64_t burst,
                        uint64_t kept)
{
    uint64_t elapsed = now.mono - bucket->filled, full = burst * TOKEN;

    bucket->filled = now.mono;
    bucket->tokens = elapsed >= full / rate ? full : bucket->tokens + elapsed * rate;
    if (bucket->tokens > full) bucket->tokens = full;
    if (bucket->tokens < (kept + 1) * TOKEN) return false;
    bucket->tokens -= TOKEN;
    return true;
}

/* A new row; the least recently seen one goes if its minute is over. */
static struct network *gate_add_network(struct gate *gate, struct mn_now now)
{
    struct network *network;

    if (gate->networks.count >= GATE_NETWORKS_MAX) {
        network = MN_CONTAINER(gate->ages.next, struct network, age);
        if (now.mono - network->seen < MN_MINUTE) {
            MN_PROBE("gate: the table is full");
            return &gate->rest;
        }
        mn_list_remove(&network->age);
        mn_map_remove(&gate->networks, &network->entry);
        mn_free(network);
    }
    network = mn_alloc(sizeof *network);
    network->bucket = (struct bucket){BURST * TOKEN, now.mono};
    network->knocks = (struct bucket){KNOCKS * TOKEN, now.mono};
    network->refusals_since = now.mono;
    return network;
}

static struct network *gate_network(struct gate *gate, struct mn_now now, struct mn_span address)
{
    uint8_t key[ADDRESS_NETWORK_SIZE];
    struct mn_map_entry *entry;
    struct network *network;

    address_network(address, key);
    entry = mn_map_find(&gate->networks, mn_span(key, sizeof key));
    if (entry != NULL) {
        network = MN_CONTAINER(entry, struct network, entry);
        mn_list_remove(&network->age);
    } else {
        network = gate_add_network(gate, now);
        if (network == &gate->rest) return network;
        memcpy(network->key, key, sizeof key);
        mn_map_insert(&gate->networks, &network->entry, mn_span(network->key, sizeof key));
    }
    network->seen = now.mono;
    mn_list_push_back(&gate->ages, &network->age);
    return network;
}

/* Of what all have together, strangers leave a quarter: however many networks they come from,
 * members still get in. */
static uint64_t kept_of(uint64_t all, bool is_favoured)
{
    return is_favoured ? 0 : all / 4;
}

bool gate_knock(struct gate *gate, struct mn_now now, struct mn_span address, bool is_favoured)
{
    struct network *network = gate_network(gate, now, address);
    uint64_t rate = is_favoured ? KNOCKS_FAVOURED : KNOCKS;

    if (!bucket_take(&network->knocks, now, rate, rate, 0)) return false;
    return bucket_take(&gate->knocks, now, KNOCKS_ALL, KNOCKS_ALL,
                       kept_of(KNOCKS_ALL, is_favoured));
}

bool gate_admit(struct gate *gate, struct mn_now now, struct mn_span address, bool is_favoured)
{
    struct network *network = gate_network(gate, now, address);
    uint64_t rate = is_favoured ? RATE_FAVOURED : RATE;

    if (network->refusals >= GATE_REFUSALS_MAX) {
        if (now.mono - network->refusals_since < MN_MINUTE) return false;
        network->refusals = 0;
    }
    if (!bucket_take(&network->bucket, now, rate, is_favoured ? rate : BURST, 0)) return false;
    return bucket_take(&gate->all, now, RATE_ALL, RATE_ALL, kept_of(RATE_ALL, is_favoured));
}

void gate_on_refusal(struct gate *gate, struct mn_now now, struct mn_span address)
{
    struct network *network;

    if (address_is_loopback(address)) return;
    network = gate_network(gate, now, address);
    if (network->refusals == 0 || now.mono - network->refusals_since >= MN_MINUTE) {
        network->refusals = 0;
        network->refusals_since = now.mono;
    }
    network->refusals++;
}

mn_time gate_ban(struct gate *gate, struct mn_now now, const mn_id *node_id)
{
    struct ban *ban = &gate->bans[0];
    mn_time length = BAN_MIN;

    for (unsigned i = 0; i < GATE_BANS_MAX; i++) {
        if (gate->bans[i].until < ban->until) ban = &gate->bans[i];
        if (gate->bans[i].length > 0 && mn_id_equal(&gate->bans[i].node_id, node_id)) {
            ban = &gate->bans[i];
            if (now.mono < ban->until + BAN_MEMORY) length = 2 * ban->length;
            break;
        }
    }
    if (length > BAN_MAX) length = BAN_MAX;
    *ban = (struct ban){*node_id, mn_time_after(now.mono, length), length};
    return ban->until;
}

mn_time gate_banned_for(const struct gate *gate, struct mn_now now, const mn_id *node_id)
{
    for (unsigned i = 0; i < GATE_BANS_MAX; i++)
        if (gate->bans[i].until > now.mono && mn_id_equal(&gate->bans[i].node_id, node_id))
            return gate->bans[i].until - now.mono;
    return 0;
}

bool gate_is_banned(const struct gate *gate, struct mn_now now, const mn_id *node_id)
{
    return gate_banned_for(gate, now, node_id) > 0;
}

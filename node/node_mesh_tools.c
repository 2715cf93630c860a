#include "node/mcp/names/names.h"
#include "node/node_mesh.h"

#define NO_ARGUMENTS "{\"type\":\"object\",\"properties\":{},\"additionalProperties\":false}"
#define ONE_ARGUMENT(name, about)                                                   \
    "{\"type\":\"object\",\"properties\":{\"" name                                  \
    "\":{\"type\":\"string\",\"description\":\"" about "\"}},\"required\":[\"" name \
    "\"],\"additionalProperties\":false}"

#define KEY_ARGUMENT "\"key\":{\"type\":\"string\",\"description\":\"1 to 1023 bytes\"}"
#define NUMBER(name, least, most, about)                                         \
    "\"" name "\":{\"type\":\"integer\",\"minimum\":" least ",\"maximum\":" most \
    ",\"description\":\"" about "\"}"
#define NUMBER_MAX "9007199254740991"
#define STATE_PUT_ARGUMENTS                                                                        \
    "{\"type\":\"object\",\"properties\":{" KEY_ARGUMENT                                           \
    ",\"value\":{\"type\":\"string\"}," NUMBER(                                                    \
        "if_rev", "0", NUMBER_MAX,                                                                 \
        "only if the key is at this revision; 0: only if there is none") "," NUMBER("lease", "1",  \
                                                                                    NUMBER_MAX,    \
                                                                                    "the key "     \
                                                                                    "goes when "   \
                                                                                    "this lease "  \
                                                                                    "ends") "},"   \
                                                                                            "\"re" \
                                                                                            "quir" \
                                                                                            "ed\"" \
                                                                                            ":["   \
                                                                                            "\"ke" \
                                                                                            "y\"," \
                                                                                            "\"va" \
                                                                                            "lue"  \
                                                                                            "\"]," \
                                                                                            "\"ad" \
                                                                                            "diti" \
                                                                                            "onal" \
                                                                                            "Prop" \
                                                                                            "erti" \
                                                                                            "es\"" \
                                                                                            ":fal" \
                                                                                            "se}"
#define PREFIX_ARGUMENT "\"prefix\":{\"type\":\"string\",\"description\":\"what keys begin with\"}"
#define STATE_LIST_ARGUMENTS                                                             \
    "{\"type\":\"object\",\"properties\":{" PREFIX_ARGUMENT                              \
    ",\"after\":{\"type\":\"string\",\"description\":\"go on after this key\"}," NUMBER( \
        "limit", "1", "256", "keys at most; 100 if not said") "},\"additionalProperties\":false}"
#define STATE_WATCH_ARGUMENTS                                                                     \
    "{\"type\":\"object\",\"properties\":{" PREFIX_ARGUMENT                                       \
    ",\"from\":{\"type\":\"string\",\"description\":\"`next` of the answer before, or `at` of a " \
    "change\"}," NUMBER("timeout_ms", "10", "60000",                                              \
                        "how long to wait; 5000 if not said") "},\"additionalProperties\":false}"
#define LEASE_ARGUMENTS                             \
    "{\"type\":\"object\",\"properties\":{" NUMBER( \
        "lease", "1", NUMBER_MAX,                   \
        "its number") "},\"required\":[\"lease\"],\"additionalProperties\":false}"

const struct node_mesh_tool node_mesh_tools[] = {
    {"mesh_status", "Mesh status",
     "State of this node and its mesh: members, tools, servers, calls, and what is not well.",
     NO_ARGUMENTS, true, "GET", "/v1/status"},
    {"mesh_nodes", "Mesh nodes",
     "The members of the mesh: state, role, region, link and round trip as this node sees them.",
     NO_ARGUMENTS, true, "GET", "/v1/nodes"},
    {NAMES_FIND, "Find tools",
     "Tools that can be called here, whose name or description has all the words; mesh_call calls "
     "them.",
     "{\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\",\"description\":\"words "
     "to look "
     "for\"},"
     "\"limit\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":100,\"description\":\"of "
     "definitions; 10 "
     "if absent\"}},\"required\":[\"text\"],\"additionalProperties\":false}",
     true, NULL, NULL},
    {NAMES_CALL, "Call a tool",
     "Calls a tool by the name that mesh_find gives; the answer is that tool's own.",
     "{\"type\":\"object\",\"properties\":{\"tool\":{\"type\":\"string\",\"description\":\"name of "
     "the tool\"},"
     "\"arguments\":{\"type\":\"object\",\"description\":\"its "
     "arguments\"}},\"required\":[\"tool\"],"
     "\"additionalProperties\":false}",
     false, NULL, NULL},
    {"mesh_route_explain", "Explain a route",
     "Which nodes could take a call of a tool, how they score, and which would be chosen now.",
     ONE_ARGUMENT("tool", "name of the tool as listed"), true, "GET", "/v1/route/{tool}"},
    {"mesh_propose", "Propose a decision",
     "Asks every member for a signed vote on a value under a topic; mesh_decision tells the "
     "outcome.",
     "{\"type\":\"object\",\"properties\":{\"topic\":{\"type\":\"string\"},\"value\":{\"type\":"
     "\"string\"},\"quorum\":{\"type\":\"number\"},\"timeout_ms\":{\"type\":\"integer\"},"
     "\"byzantine\":{\"type\":\"boolean\",\"description\":\"agree on the outcome although some "
     "lie\"}},"
     "\"required\":[\"topic\",\"value\"],\"additionalProperties\":false}",
     false, "POST", "/v1/decisions"},
    {"mesh_vote", "Vote", "This node's vote on a decision: yes, no or abstain; it votes once.",
     "{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"string\"},\"vote\":{\"type\":"
     "\"string\","
     "\"enum\":[\"yes\",\"no\",\"abstain\"]}},\"required\":[\"id\",\"vote\"],"
     "\"additionalProperties\":false}",
     false, "POST", "/v1/decisions/{id}/vote"},
    {"mesh_decision", "A decision",
     "A decision with its votes, its outcome and the bytes that prove it.",
     ONE_ARGUMENT("id", "of the decision"), true, "GET", "/v1/decisions/{id}"},
    {"mesh_diagnose", "Diagnose the mesh",
     "Asks all members at once: a health score from 0 to 100, each node's own, and findings, most "
     "severe first, each with the nodes that see it and the next thing to do. Who did not answer "
     "in "
     "time is in `missing`.",
     "{\"type\":\"object\",\"properties\":{" NUMBER(
         "timeout_ms", "100", "10000",
         "how long to wait for the slowest; 2000 if absent") "},\"additionalProperties\":false}",
     true, "GET", "/v1/diagnosis{?timeout_ms}"},
    {"mesh_consensus", "Consensus",
     "Who votes on what all nodes agree on, who leads, and what to do when it stands still.",
     NO_ARGUMENTS, true, "GET", "/v1/consensus"},
    {"mesh_state_get", "Read a key",
     "A key of the map that all nodes agree on, linearizable: value, revision, fencing token.",
     ONE_ARGUMENT("key", "the key"), true, "GET", "/v1/state/{key}"},
    {"mesh_state_list", "List keys",
     "Keys that all nodes agree on, in order; `next`, passed as `after`, goes on.",
     STATE_LIST_ARGUMENTS, true, "GET", "/v1/state{?prefix,after,limit}"},
    {"mesh_state_watch", "Wait for changes of keys",
     "Waits until a key that begins with the prefix changes after `from`, and tells the changes; "
     "their `next` is the next `from`. Without `from`: where things stand now.",
     STATE_WATCH_ARGUMENTS, true, "GET", "/v1/watch{?prefix,from,timeout_ms}"},
    {"mesh_state_put", "Set a key",
     "Sets a key that all nodes agree on; done when a majority of the voters has it on disk. "
     "The error `unknown` means that it may have happened.",
     STATE_PUT_ARGUMENTS, false, "PUT", "/v1/state/{key}"},
    {"mesh_state_remove", "Remove a key", "Removes a key that all nodes agree on.",
     ONE_ARGUMENT("key", "the key"), false, "DELETE", "/v1/state/{key}"},
    {"mesh_lease_grant", "Make a lease",
     "A lease, which ends unless it is renewed within its time; keys set with it go when it ends. "
     "A key's `created` is a fencing token: it rises from one holder of a lock to the next.",
     "{\"type\":\"object\",\"properties\":{" NUMBER(
         "ttl_ms", "1000", "86400000",
         "its time") "},\"required\":[\"ttl_ms\"],\"additionalProperties\":false}",
     false, "POST", "/v1/leases"},
    {"mesh_lease_renew", "Renew a lease", "Its time begins anew.", LEASE_ARGUMENTS, false, "POST",
     "/v1/leases/{lease}/renew"},
    {"mesh_lease_revoke", "End a lease", "Ends it now, and removes its keys.", LEASE_ARGUMENTS,
     false, "DELETE", "/v1/leases/{lease}"},
    {0},
};

#define ALL_BUT_STATE \
    (NODE_MESH_NODES | NODE_MESH_TOOLS | NODE_MESH_DECISIONS | NODE_MESH_CONSENSUS)

const struct node_mesh_resource node_mesh_resources[] = {
    {"mesh://status", "Mesh status", "State of this node and its mesh.", "/v1/status",
     ALL_BUT_STATE},
    {"mesh://nodes", "Mesh nodes", "The members of the mesh.", "/v1/nodes", NODE_MESH_NODES},
    {"mesh://tools", "Mesh tools", "Every tool of the mesh, and how it fares.", "/v1/tools",
     NODE_MESH_TOOLS},
    {"mesh://diagnosis", "Mesh diagnosis", "What all members find, and the next thing to do.",
     "/v1/diagnosis", NODE_MESH_NODES | NODE_MESH_TOOLS | NODE_MESH_CONSENSUS},
    {"mesh://decisions", "Mesh decisions", "Signed decisions that this node knows.",
     "/v1/decisions", NODE_MESH_DECISIONS},
    {"mesh://consensus", "Mesh consensus", "Who votes on what all nodes agree on, and who leads.",
     "/v1/consensus", NODE_MESH_CONSENSUS},
    {"mesh://state", "Mesh state", "The first hundred keys that all nodes agree on.", "/v1/state",
     NODE_MESH_STATE},
    {0},
};

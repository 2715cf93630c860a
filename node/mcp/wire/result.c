#include "node/mcp/wire/result.h"

static const char *const known[] = {"protocolVersion",
                                    "supportedVersions",
                                    "capabilities",
                                    "serverInfo",
                                    "instructions",
                                    "resultType",
                                    "ttlMs",
                                    "cacheScope",
                                    "nextCursor",
                                    "tools",
                                    "prompts",
                                    "resources",
                                    "resourceTemplates"};

bool result_is_known(struct mn_span member)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (mn_span_is(member, known[i])) return true;
    return false;
}

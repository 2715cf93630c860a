#include "node/mcp/gateway.h"

void mcp_keys_want(struct mcp_keys *keys, uint32_t key_id)
{
    for (uint32_t i = 0; i < keys->wanted_count; i++)
        if (keys->wanted[i] == key_id) return;
    if (keys->wanted_count < MCP_KEYS_WANTED_MAX) keys->wanted[keys->wanted_count++] = key_id;
}

bool mcp_keys_take_wanted(struct mcp_keys *keys, uint32_t *ret)
{
    if (keys->wanted_count == 0) return false;
    *ret = keys->wanted[--keys->wanted_count];
    return true;
}

void mcp_carry(struct mcp_carries *carries, const mn_id *to, struct mn_buf *buf)
{
    if (carries->count == carries->capacity) {
        uint32_t capacity = carries->capacity == 0 ? 8 : 2 * carries->capacity;
        struct mcp_carry *items = mn_arena_alloc(carries->arena, capacity * sizeof *items);
        if (carries->count > 0) memcpy(items, carries->items, carries->count * sizeof *items);
        carries->items = items;
        carries->capacity = capacity;
    }
    carries->items[carries->count++] = (struct mcp_carry){*to, buf};
}

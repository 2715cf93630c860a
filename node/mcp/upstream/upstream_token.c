#include "node/mcp/upstream/upstream_token.h"

#include "node/mcp/upstream/upstream_task.h"
#include "proto/base/check.h"

struct token {
    struct mn_list in_server; /* server->tokens, oldest first */
    uint64_t token;
    struct mn_span task; /* behind this struct */
};

static struct token *token_at(const struct mn_list *link)
{
    return MN_CONTAINER((uintptr_t)link, struct token, in_server);
}

static void token_free(struct upstream *server, struct token *token)
{
    mn_list_remove(&token->in_server);
    server->tokens_count--;
    mn_free(token);
}

void upstream_token_note(struct upstream_request *request, const struct json *result)
{
    struct upstream *server = request->server;
    struct token *token;
    struct mn_span id;

    if (!request->wants_progress || upstream_is_modern(server)) return;
    id = json_text(json_find_str(json_find_str(result, "task"), "taskId"));
    if (id.size == 0 || id.size > UPSTREAM_TASK_ID_SIZE_MAX) return;
    if (server->tokens_count == UPSTREAM_TOKENS_MAX)
        token_free(server, token_at(server->tokens.next));
    token = mn_alloc(sizeof *token + id.size);
    token->token = request->id;
    token->task = mn_span(token + 1, id.size);
    memcpy(token + 1, id.data, id.size);
    mn_list_push_back(&server->tokens, &token->in_server);
    server->tokens_count++;
}

struct mn_span upstream_token_task(struct upstream *server, uint64_t token)
{
    MN_LIST_FOR_EACH (link, &server->tokens)
        if (token_at(link)->token == token)
            return mn_arena_copy(&server->host->scratch, token_at(link)->task);
    return mn_span(NULL, 0);
}

void upstream_token_forget(struct upstream *server, struct mn_span id)
{
    MN_LIST_FOR_EACH_SAFE (link, &server->tokens)
        if (mn_span_equal(token_at(link)->task, id)) token_free(server, token_at(link));
}

void upstream_token_forget_all(struct upstream *server)
{
    while (!mn_list_is_empty(&server->tokens))
        token_free(server, token_at(server->tokens.next));
    MN_ASSERT(server->tokens_count == 0);
}

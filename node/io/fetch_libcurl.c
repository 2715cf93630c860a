#include "node/io/fetch_libcurl.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define LIBRARY "libcurl.so.4" /* its name since 2006 */

struct fetch_libcurl libcurl;

static char fetch_libcurl_fault[256];

static mn_status fetch_libcurl_fail(const char *text)
{
    snprintf(fetch_libcurl_fault, sizeof fetch_libcurl_fault,
             "https needs " LIBRARY " (on Debian: apt-get install libcurl4): %s",
             text == NULL ? "it cannot be loaded" : text);
    return MN_UNSUPPORTED;
}

/* POSIX says that a pointer to a function fits into what dlsym() returns; C has no cast for it. */
static bool fetch_libcurl_find(void *library, const char *name, void *ret, size_t size)
{
    void *found = dlsym(library, name);
    if (found == NULL || size != sizeof found) return false;
    memcpy(ret, &found, sizeof found);
    return true;
}

static mn_status fetch_libcurl_open(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) return fetch_libcurl_fail(dlerror());
#define FETCH_LIBCURL_FIND(name)                                                         \
    if (!fetch_libcurl_find(library, "curl_" #name, &libcurl.name, sizeof libcurl.name)) \
        return fetch_libcurl_fail("it has no curl_" #name);
    FETCH_LIBCURL_FUNCTIONS(FETCH_LIBCURL_FIND)
#undef FETCH_LIBCURL_FIND
    libcurl.global_init(CURL_GLOBAL_DEFAULT); /* of the process, and never given back */
    return MN_OK;
}

mn_status fetch_libcurl_load(const char **why)
{
    static mn_status status = MN_NOT_YET;
    if (status == MN_NOT_YET) status = fetch_libcurl_open();
    *why = fetch_libcurl_fault;
    return status;
}

//go:build !windows

#define _GNU_SOURCE
#include <link.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "symbols.h"

/* Called for each loaded object; own lies in the one that is wanted. */
static int forget(struct dl_phdr_info *info, size_t size, void *own)
{
    const ElfW(Phdr) *p;
    uintptr_t at = (uintptr_t) own, page = (uintptr_t) sysconf(_SC_PAGESIZE), begin, end;
    int i, found = 0;

    (void) size;
    for (i = 0; i < info->dlpi_phnum; i++) {
        p = &info->dlpi_phdr[i];
        begin = info->dlpi_addr + p->p_vaddr;
        if (p->p_type == PT_LOAD && at >= begin && at < begin + p->p_memsz) {
            found = 1;
        }
    }
    if (!found) {
        return 0;
    }
    for (i = 0; i < info->dlpi_phnum; i++) {
        p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || (p->p_flags & PF_W)) {
            continue;
        }
        begin = (info->dlpi_addr + p->p_vaddr) & -page;
        end = info->dlpi_addr + p->p_vaddr + p->p_memsz;
        madvise((void *) begin, end - begin, MADV_DONTNEED);
    }
    return 1;
}

void flb_forget_pages(void)
{
    dl_iterate_phdr(forget, (void *) (uintptr_t) forget);
}

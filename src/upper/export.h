/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Marks the functions that libupper.so offers. libupper.map names the same ones, with a version. */

#define _public_ __attribute__((visibility("default")))

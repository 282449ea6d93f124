import { dlopen, FFIType, ptr } from "bun:ffi";

/**
 * Switches off what lets the kernel hand on packets without a checksum, or several as one: a link emulator reads and
 * writes bare frames. `ethtool -K` without ethtool, which few machines have. Run as a program: `bun offloads.ts DEVICE...`.
 */
export function switchOffOffloads(device: string): void {
  const libc = dlopen("libc.so.6", {
    socket: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
    ioctl: { args: [FFIType.i32, FFIType.u64, FFIType.ptr], returns: FFIType.i32 },
    close: { args: [FFIType.i32], returns: FFIType.i32 },
  });
  const { socket, ioctl, close } = libc.symbols;
  const descriptor = socket(inetFamily, datagramType, 0);
  try {
    for (const [name, command] of Object.entries(offloadCommands)) {
      // struct ethtool_value { u32 cmd; u32 data }, and struct ifreq { char name[16]; void *data; ... }
      const value = new Uint32Array([command, 0]);
      const request = Buffer.alloc(40);
      request.write(device, 0, 15, "latin1");
      request.writeBigUInt64LE(BigInt(ptr(value)), 16);
      if (ioctl(descriptor, ethtoolRequest, ptr(request)) !== 0)
        throw new Error(`${name} of ${device} can't be switched off`);
    }
  } finally {
    close(descriptor);
    libc.close();
  }
}

/** Numbers of Linux: <sys/socket.h>, <linux/sockios.h>, <linux/ethtool.h>. */
const inetFamily = 2;
const datagramType = 2;
const ethtoolRequest = 0x8946;
const offloadCommands = {
  "tx-checksum": 0x17,
  "tcp-segmentation": 0x1f,
  "generic-segmentation": 0x24,
  "generic-receive": 0x2c,
} as const;

if (import.meta.main) for (const device of process.argv.slice(2)) switchOffOffloads(device);

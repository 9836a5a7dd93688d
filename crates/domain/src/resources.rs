//! What a request wants of a machine, and what a machine has.

use crate::id::GpuType;

/// One whole GPU device, in milli.
pub const GPU_WHOLE_MILLI: u32 = 1000;

/// The most GPU devices that one worker or one request may have.
pub const GPU_DEVICES_MAX: u32 = 1024;

/// The size of a worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Thousandths of a cpu.
    pub cpu_milli: u64,
    /// Mebibytes of memory.
    pub memory_mib: u64,
    /// What kind its GPUs are; `None` exactly when it has none.
    pub gpu_type: Option<GpuType>,
    /// How many GPU devices it has, each of [`GPU_WHOLE_MILLI`].
    pub gpu_count: u32,
}

/// What one container owns of its worker, from `placed` to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Booking {
    /// Thousandths of a cpu.
    pub cpu_milli: u64,
    /// Mebibytes, the policy's overhead included.
    pub memory_mib: u64,
    /// Indices of the GPU devices, ascending.
    pub gpu_devices: Vec<u32>,
    /// What it owns of each of those devices.
    pub gpu_milli: u32,
}

/// What the containers of a worker own together.
///
/// Kept as what is used, not as what is free, so that a worker which came back smaller than what it owns is still
/// booked exactly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Used {
    /// Thousandths of a cpu.
    pub cpu_milli: u64,
    /// Mebibytes.
    pub memory_mib: u64,
    /// Milli in use of each device; devices beyond the end have nothing in use. Never ends with a zero.
    pub gpu_milli: Vec<u32>,
    /// How many containers own these.
    pub containers: u32,
}

/// What is left of a worker; nothing is ever negative.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Free {
    /// Thousandths of a cpu.
    pub cpu_milli: u64,
    /// Mebibytes.
    pub memory_mib: u64,
    /// Milli left of each device, by index.
    pub gpu_milli: Vec<u32>,
}

impl Used {
    /// What is in use of the device at `index`.
    pub fn gpu_milli_at(&self, index: u32) -> u32 {
        self.gpu_milli.get(index as usize).copied().unwrap_or(0)
    }
}

impl Capacity {
    /// What is left of this size once `used` is taken off, down to zero.
    pub fn free(&self, used: &Used) -> Free {
        Free {
            cpu_milli: self.cpu_milli.saturating_sub(used.cpu_milli),
            memory_mib: self.memory_mib.saturating_sub(used.memory_mib),
            gpu_milli: (0..self.gpu_count)
                .map(|index| GPU_WHOLE_MILLI.saturating_sub(used.gpu_milli_at(index)))
                .collect(),
        }
    }

    /// Whether `used` is more than this size holds, in any resource.
    pub fn is_exceeded_by(&self, used: &Used) -> bool {
        let device_exceeded =
            |(index, milli): (usize, &u32)| *milli > if index < self.gpu_count as usize { GPU_WHOLE_MILLI } else { 0 };
        used.cpu_milli > self.cpu_milli
            || used.memory_mib > self.memory_mib
            || used.gpu_milli.iter().enumerate().any(device_exceeded)
    }
}

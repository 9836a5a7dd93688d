//! The folder of one run: the program, the logs, the rows of the server and of each agent, and the address.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::shown;

const LOCK: &str = "run.lock";
/// What the lock file says in a folder that was empty when the first run came.
const OURS: &str = "everything here belongs to cargo xtask run\n";

pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let made = fs::create_dir_all(root).and_then(|()| root.canonicalize());
        let root = made.with_context(|| format!("failed to make the folder {}", root.display()))?;
        if fs::read_dir(&root)?.next().is_none() {
            fs::write(root.join(LOCK), OURS).with_context(|| format!("failed to write in {}", root.display()))?;
        }
        Ok(Self { root })
    }

    /// The lock of the run that owns this folder; `None` while another run does. It ends with the process that holds
    /// it, however that ends.
    pub(crate) fn lock(&self) -> Result<Option<File>> {
        let path = self.root.join(LOCK);
        let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = opened.with_context(|| format!("failed to open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("failed to lock {}", path.display())),
        }
    }

    /// Refuses a folder that held files before any run did.
    pub(crate) fn must_be_ours(&self) -> Result<()> {
        if fs::read_to_string(self.root.join(LOCK)).unwrap_or_default() != OURS {
            bail!("{} holds files and no run of ours\nnext: cargo xtask run --data ANOTHER_FOLDER", self.shown());
        }
        Ok(())
    }

    /// Removes everything but the lock.
    pub(crate) fn empty(&self) -> Result<()> {
        self.must_be_ours()?;
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let path = entry.path();
            let removed = match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(&path),
                false if entry.file_name() == LOCK => Ok(()),
                false => fs::remove_file(&path),
            };
            removed.with_context(|| format!("failed to remove {}", path.display()))?;
        }
        Ok(())
    }

    /// Puts a copy of the program in the folder. A copy, since a later build may write into the file that runs, and by
    /// rename, since an agent started by hand may be running the old one.
    pub(crate) fn install(&self, program: &Path) -> Result<()> {
        let installed = self.program();
        let fresh = installed.with_extension("new");
        let copied = fs::create_dir_all(self.root.join("bin"))
            .and_then(|()| fs::copy(program, &fresh))
            .and_then(|_| fs::rename(&fresh, &installed));
        copied.with_context(|| format!("failed to copy {} to {}", program.display(), installed.display()))
    }

    pub(crate) fn write_address(&self, address: &str) -> Result<()> {
        let fresh = self.root.join("address.new");
        let path = self.root.join("address");
        let written = fs::write(&fresh, format!("{address}\n")).and_then(|()| fs::rename(&fresh, &path));
        written.with_context(|| format!("failed to write {}", path.display()))
    }

    pub(crate) fn address(&self) -> Option<String> {
        let text = fs::read_to_string(self.root.join("address")).ok()?;
        Some(text.trim().to_owned())
    }

    pub(crate) fn forget_address(&self) -> Result<()> {
        remove(&self.root.join("address"))
    }

    pub(crate) fn program(&self) -> PathBuf {
        self.root.join("bin/stowplan")
    }

    /// Where the process of that name keeps its rows.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        if matches!(name, "server" | "redis") { self.root.join(name) } else { self.root.join("agents").join(name) }
    }

    pub(crate) fn log(&self, name: &str) -> Result<PathBuf> {
        Ok(self.made("logs")?.join(format!("{name}.log")))
    }

    pub(crate) fn write_pid(&self, name: &str, pid: u32) -> Result<()> {
        let path = self.made("pids")?.join(name);
        fs::write(&path, format!("{pid}\n")).with_context(|| format!("failed to write {}", path.display()))
    }

    pub(crate) fn forget_pid(&self, name: &str) -> Result<()> {
        remove(&self.root.join("pids").join(name))
    }

    /// The processes of this folder by name, as the last run left them.
    pub(crate) fn pids(&self) -> Result<Vec<(String, i32)>> {
        let mut pids = Vec::new();
        for entry in fs::read_dir(self.made("pids")?)? {
            let entry = entry?;
            if let Ok(pid) = fs::read_to_string(entry.path())?.trim().parse() {
                pids.push((entry.file_name().to_string_lossy().into_owned(), pid));
            }
        }
        pids.sort();
        Ok(pids)
    }

    /// Whether the program finds the address by itself, as it looks for `.stowplan/address` here and above.
    pub(crate) fn is_found_from(&self, here: &Path) -> bool {
        self.root.ends_with(".stowplan") && self.root.parent().is_some_and(|above| here.starts_with(above))
    }

    pub(crate) fn shown(&self) -> String {
        shown(&self.root)
    }

    fn made(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join(name);
        fs::create_dir_all(&path).with_context(|| format!("failed to make the folder {}", path.display()))?;
        Ok(path)
    }
}

/// Removes a file that may be gone already.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_lock_is_refused_until_the_first_ends() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::open(scratch.path()).unwrap();
        let first = folder.lock().unwrap();
        assert!(first.is_some());
        assert!(folder.lock().unwrap().is_none());
        drop(first);
        assert!(folder.lock().unwrap().is_some());
    }

    #[test]
    fn a_folder_of_somebody_else_is_not_touched() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("thesis.txt"), "years of work").unwrap();
        let folder = Folder::open(scratch.path()).unwrap();
        let _lock = folder.lock().unwrap();
        let error = folder.empty().unwrap_err();
        assert!(error.to_string().contains("no run of ours"), "{error}");
        assert!(scratch.path().join("thesis.txt").exists());
    }

    #[test]
    fn the_default_folder_is_found_from_below() {
        let scratch = tempfile::tempdir().unwrap();
        let above = scratch.path().canonicalize().unwrap();
        let folder = |name: &str| Folder::open(&above.join(name)).unwrap();
        assert!(folder(".stowplan").is_found_from(&above.join("docs")));
        assert!(!folder(".stowplan").is_found_from(Path::new("/")));
        assert!(!folder("mine.stowplan").is_found_from(&above));
    }

    #[test]
    fn emptying_keeps_the_lock() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::open(scratch.path()).unwrap();
        let _lock = folder.lock().unwrap();
        folder.write_address("http://127.0.0.1:7070").unwrap();
        folder.write_pid("worker-01", 1).unwrap();
        folder.empty().unwrap();
        assert_eq!(folder.address(), None);
        assert!(folder.lock().unwrap().is_none());
    }
}

//! What is said when the index cannot be opened.

use wiber_storage::RealDisk;

use super::*;

fn refused(dir: &Path, disk: Arc<dyn Disk>, log: &Log) -> String {
    let refused = open(dir.to_owned(), disk, STAMP, LIMITS, log).err();
    refused.expect("it is refused").to_string()
}

#[test]
fn an_error_at_opening_names_the_file() {
    let node = Node::open(MemoryDisk::new());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("index");
    std::fs::write(&file, "no folder").expect("it is written");
    let said = refused(&file, Arc::new(RealDisk::new()), &node.log);
    assert!(said.contains(&file.display().to_string()), "{said}");

    // A folder where a file should be.
    for name in ["cut", "00000000000000000000.part"] {
        let dir = folder.path().join(format!("with-{name}"));
        std::fs::create_dir_all(dir.join(name)).expect("it is made");
        let said = refused(&dir, Arc::new(RealDisk::new()), &node.log);
        assert!(said.contains(&format!("with-{name}/{name}: ")), "{said}");
    }
}

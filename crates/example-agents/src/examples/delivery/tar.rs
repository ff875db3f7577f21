//! Tar archives (POSIX ustar) of small texts: a block of 512 bytes says name and size, the content follows, filled up to
//! blocks; two empty blocks end it. Owners and times are nought, so that the same files are the same bytes.

use super::Files;

const BLOCK: usize = 512;
const NAME: std::ops::Range<usize> = 0..100;
const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;

pub(super) fn pack(files: &Files) -> Result<Vec<u8>, String> {
    let mut archive = Vec::new();
    for (path, text) in files {
        archive.extend(header(path, text.len())?);
        archive.extend(text.as_bytes());
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    Ok(archive)
}

fn header(path: &str, size: usize) -> Result<[u8; BLOCK], String> {
    if path.is_empty() || path.len() > NAME.len() {
        return Err(format!("{path:?} does not fit into the archive"));
    }
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(NAME.start, path);
    for (at, number) in [(100, "0000644"), (108, "0000000"), (116, "0000000"), (136, "00000000000")] {
        put(at, number);
    }
    put(SIZE.start, &format!("{size:011o}"));
    put(CHECKSUM.start, "        ");
    put(156, "0");
    put(257, "ustar");
    put(263, "00");
    let sum = format!("{:06o}\0 ", sum(&block));
    block[CHECKSUM].copy_from_slice(sum.as_bytes());
    Ok(block)
}

/// The sum of a header's bytes, which is taken with spaces in its own place.
fn sum(block: &[u8]) -> u32 {
    block.iter().map(|byte| u32::from(*byte)).sum()
}

pub(super) fn unpack(mut archive: &[u8]) -> Result<Files, String> {
    let mut files = Files::new();
    while let Some((block, rest)) = archive.split_at_checked(BLOCK).filter(|(block, _)| block[0] != 0) {
        let (path, size) = read_header(block).ok_or("the archive has a damaged header")?;
        let (content, rest) = rest.split_at_checked(size).ok_or_else(|| format!("{path} is cut off"))?;
        let text = std::str::from_utf8(content).map_err(|_| format!("{path} is not text"))?;
        files.insert(path, text.to_owned());
        archive = rest.get(size.next_multiple_of(BLOCK) - size..).unwrap_or_default();
    }
    Ok(files)
}

fn read_header(block: &[u8]) -> Option<(String, usize)> {
    let field = |range: std::ops::Range<usize>| std::str::from_utf8(&block[range]).ok()?.split(['\0', ' ']).next();
    let mut blank = block.to_vec();
    blank[CHECKSUM].fill(b' ');
    let told = u32::from_str_radix(field(CHECKSUM)?, 8).ok()?;
    let size = usize::from_str_radix(field(SIZE)?, 8).ok()?;
    let name = std::str::from_utf8(&block[NAME]).ok()?.trim_end_matches('\0');
    (told == sum(&blank)).then(|| (name.to_owned(), size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let files = Files::from([
            ("empty".into(), String::new()),
            ("a b.txt".into(), "x".repeat(BLOCK)),
            ("ü".into(), "é\n".into()),
        ]);
        let archive = pack(&files).unwrap();
        assert_eq!(archive.len(), (3 + 2 + 2) * BLOCK);
        assert_eq!(unpack(&archive).unwrap(), files);
        let mut damaged = archive.clone();
        damaged[0] ^= 1;
        assert!(unpack(&damaged).unwrap_err().contains("damaged"));
        assert!(unpack(&archive[..BLOCK + 10]).unwrap_err().contains("cut off"));
        assert!(pack(&Files::from([("x".repeat(101), String::new())])).is_err());
    }
}

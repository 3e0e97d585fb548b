"""What tests, benchmarks, studies and chaos share: videos whose frames are known, corpora, requests, invented chains."""

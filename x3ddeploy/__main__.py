from x3ddeploy.cli.main import run

if __name__ == "__main__":
    run()
